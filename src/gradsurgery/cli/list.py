"""Every method, rule, transform, balancer and problem of the library, each with its first sentence.

gradsurgery list              all of them
gradsurgery list methods      methods alone; placebos, which are there to be beaten, stand apart
"""

import argparse
import shutil

from gradsurgery.cli import _checkout, _facts
from gradsurgery.core import discovery


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(_facts.KINDS)} (default: all)")


def main(arguments: argparse.Namespace) -> int:
    for kind in arguments.kinds:
        if kind not in _facts.KINDS:
            near = discovery.did_you_mean(kind, _facts.KINDS)
            raise ValueError(f"`KIND` must be one of {', '.join(_facts.KINDS)}, found {kind!r}{near}")
    width = max(60, shutil.get_terminal_size().columns)
    for word in arguments.kinds or _facts.KINDS:
        kind, what = _facts.KINDS[word]
        names = discovery.available(kind)
        placebos = [name for name in names if _facts.is_placebo(kind, name)]
        _print(f"{word}: {what}", kind, [name for name in names if name not in placebos], width)
        if placebos:
            _print(f"placebos among the {word}: controls that a method has to beat", kind, placebos, width)
        if word == "problems" and (known := _checkout.problems()):
            print("what --problem takes: lines of params.yaml made of them")
            column = max(map(len, known)) + 2
            print("\n".join(f"  {name:<{column}}{title}" for name, title in known.items()), end="\n\n")
    print(
        "`gradsurgery describe NAME` says more of each, and `gradsurgery report --problem NAME` what a problem came to."
    )
    return 0


def _print(title: str, kind: str, names: list[str], width: int) -> None:
    print(title)
    column = max(map(len, names)) + 2
    for name in names:
        [lead] = _facts.sections(discovery.find(kind, name))["lead"]
        text = f"  {name:<{column}}{lead}"
        print(text if len(text) <= width else f"{text[: width - 3]}...")
    print()
