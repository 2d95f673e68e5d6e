"""The command `gradsurgery`: one module of this package for each subcommand, `add(parser)` and `main(arguments)`."""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import gradsurgery
from gradsurgery.cli import _checkout
from gradsurgery.cli._parser import Parser
from gradsurgery.core.discovery import did_you_mean

_HELP = """\
Gradient surgery for multi-task learning: look methods up, run them, and hold your own against them.

    gradsurgery list                                          every method, rule, transform, balancer and problem
    gradsurgery describe pcgrad                               what it does, its paper, what it costs, its fields
    gradsurgery bench pcgrad my_mod:fn --tasks 3              milliseconds from task gradients to a direction
    gradsurgery compare my_mod:fn pcgrad --problem multi_mnist   your method judged by the protocol of all others

`my_mod:fn` is anything that can be imported from here: a function from the task gradients J (K, P) to a direction (P,),
an aggregator of torchjd, or a method of ours. `gradsurgery COMMAND --help` says what each takes, with examples.

Exit codes: 0 all is right, 1 a run failed, 2 a wrong input, 130 interrupted.
"""
RIGHT, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


class FailedError(RuntimeError):
    """Why a run failed, in one sentence: the input was right."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; its exit code. Errors are one sentence on stderr."""
    given = [*(sys.argv[1:] if argv is None else argv)]  # `list` is a module here
    sys.path.insert(0, os.getcwd())  # `my_mod:fn` is looked for here first, as `python -m` does
    try:
        if not given:
            parser_of(None).print_help()
            return WRONG
        parser = parser_of(given[0] if given and not given[0].startswith("-") else None)
        arguments = parser.parse_args(given)
        code: int = arguments.main(arguments)
        sys.stdout.flush()
        return code
    except FailedError as error:
        return _say(error, FAILED)
    except (ValueError, ImportError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # `gradsurgery list | head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return RIGHT
        return _say(error, WRONG)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was.", file=sys.stderr)
        return INTERRUPTED


def available() -> list[str]:
    """Names of all subcommands."""
    own = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    return sorted({*own, *_checkout.COMMANDS})


def parser_of(chosen: str | None) -> Parser:
    """The parser of one subcommand, or of all as far as `--help` shows them. Raises ValueError for one that is none."""
    names = available()
    if chosen is not None and chosen not in names:
        raise ValueError(f"`COMMAND` must be one of {', '.join(names)}, found {chosen!r}{did_you_mean(chosen, names)}")
    parser = Parser(prog="gradsurgery", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=gradsurgery.__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names if chosen is None else [chosen]:
        if chosen is None and name in _checkout.COMMANDS:
            commands.add_parser(name, help=_checkout.COMMANDS[name])
            continue
        module = _checkout.command(name) if name in _checkout.COMMANDS else _own(name)
        text = module.__doc__ or ""
        own = commands.add_parser(
            name, help=text.partition("\n")[0], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add(own)
        own.set_defaults(main=module.main)
    return parser


def _own(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def _say(error: Exception, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code
