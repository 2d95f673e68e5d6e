"""Which promises a method keeps, with the smallest gradients that break one: certified non-conflicting, or not.

    gradsurgery certify cagrad --set c=2.0
    gradsurgery certify my_mod:fn --claims non_conflict,permutation:1e-4 --as mgda
    gradsurgery certify my_mod:fn --only finite_scales --limit 120
    gradsurgery certify --properties

What the method claims is what its attribute `claims` says, or --claims; all else that holds is shown too. Every
property is tried on random gradients, and a J that breaks it is shrunk until nothing can be left out. --as names the
published method that it computes: formulas, duality gaps and other implementations are then held against it.

A method that hangs, or takes longer than --limit, has *no answer* for that property, with the J that it was at; the
certificate goes on. The clock of a busy machine runs as fast as any: --limit 300 there.

Exit codes: 0 all that is claimed holds, 1 something fails or has no answer, 2 a wrong input, 130 interrupted.
"""

import argparse
import json
import math
import sys
from functools import partial
from typing import Any

from gradsurgery.cli import FAILED, INTERRUPTED, RIGHT
from gradsurgery.cli._methods import importable, is_foreign
from gradsurgery.core.extras import need


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "method", nargs="?", metavar="METHOD", help="a name of `gradsurgery list methods`, or module:name"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="fields",
                        help="a hyper-parameter of a method of ours; may be given more than once")  # fmt: skip
    parser.add_argument("--claims", metavar="NAMES", help="properties that it claims, each as NAME or NAME:TOLERANCE")
    parser.add_argument("--as", metavar="METHOD", dest="implements", help="what it computes: mgda, cagrad:c=0.4, ..")
    parser.add_argument("--only", metavar="NAMES", help="the properties to look at (default: all)")
    parser.add_argument(
        "--tasks", default="1-12", metavar="K-K", help="numbers of tasks it is made for (default: 1-12)"
    )
    parser.add_argument("--dtype", default="float64", help="float32 for a method that computes in nothing else")
    parser.add_argument("--examples", default="60", metavar="N", help="J that each property is tried on (default: 60)")
    parser.add_argument("--limit", metavar="SECONDS", help="for each property, from the first call on (default: 30)")
    parser.add_argument("--seed", default="0", help="of the search (default: 0)")
    parser.add_argument("--json", action="store_true", help="findings as JSON, with nothing else on stdout")
    parser.add_argument("--properties", action="store_true", help="what can be claimed, and what it says")


def main(arguments: argparse.Namespace) -> int:
    need("certify", "hypothesis")
    from gradsurgery import certify  # only here: hypothesis is not there for every command
    from gradsurgery.certify import limit, search, tables

    if arguments.properties:
        for each in search.ALL:
            print(f"{each.name:<22}{each.says}")
        return RIGHT
    if arguments.method is None:
        raise ValueError("`METHOD` must be given, found nothing; --properties lists what can be claimed.")
    target = importable(arguments.method) if is_foreign(arguments.method) else arguments.method
    make = partial(
        certify.subject, target, name=arguments.method, claims=_claims(arguments.claims),
        implements=arguments.implements, tasks=_range(arguments.tasks), dtype=arguments.dtype,
        fields=dict(map(_field, arguments.fields)), trial=False,
    )  # fmt: skip
    names = _names(arguments.only)
    examples, seed = _whole("--examples", arguments.examples, 1), _whole("--seed", arguments.seed, 0)
    seconds = limit.LIMIT if arguments.limit is None else _seconds(arguments.limit)
    shown = 0

    def show(finding: certify.Finding) -> None:
        nonlocal shown
        if not arguments.json:
            print(*([] if shown else [tables.head()]), tables.line(finding), sep="\n", flush=True)
        shown += 1

    try:
        found = certify.certify_within(seconds, make, names, examples, seed, show)
    except KeyboardInterrupt:
        print(f"\ninterrupted after {shown} properties; the same command begins anew.", file=sys.stderr)
        return INTERRUPTED
    broken, unanswered = certify.broken_claims(found), certify.unanswered_claims(found)
    if arguments.json:
        said = {"method": arguments.method, "broken": broken, "unanswered": unanswered}
        print(json.dumps({**said, "findings": tables.to_json(found)}, indent=1))
    else:
        print(f"\n{tables.summary(arguments.method, found)}")
    return FAILED if broken or unanswered else RIGHT


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _claims(text: str | None) -> dict[str, float | None] | None:
    """None where the method itself is to say. Raises ValueError for a tolerance that is no number."""
    if text is None:
        return None
    claims: dict[str, float | None] = {}
    for part in _names(text):
        name, _, own = part.partition(":")
        try:
            claims[name] = float(own) if own else None
        except ValueError:
            claims[name] = math.nan
        if not 0.0 <= (claims[name] or 0.0) < math.inf:
            raise ValueError(f"`--claims` must give {name} a tolerance of zero or more, found {own!r}.")
    return claims


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"`--set` must be FIELD=VALUE, found {text!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return _whole("--tasks", low, 1), _whole("--tasks", high or low, 1)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds < math.inf:
        raise ValueError(f"`--limit` must be a positive number of seconds, found {text!r:.40}.")
    return seconds


def _whole(option: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text[:12]) < 10**10):
        raise ValueError(f"`{option}` must be a whole number from {least} on, found {text!r:.40}.")
    return int(text)
