"""What a method, rule or the like does: paper, cost in backward passes, fields with defaults and ranges, departures.

    gradsurgery describe pcgrad
    gradsurgery describe dr_mgf

All of it is read from the code: docstrings, types, and what the fields refuse.
"""

import argparse
import inspect
import textwrap
from typing import Any

from gradsurgery.cli import _facts


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="one that `gradsurgery list` shows")


def main(arguments: argparse.Namespace) -> int:
    kind, cls = _facts.find(arguments.name)
    said = _facts.sections(cls)
    placebo = "; a placebo, which methods have to beat" if _facts.is_placebo(kind, arguments.name) else ""
    print(f"{arguments.name}: {said['lead'][0]}\n")
    _field("kind", f"{_facts.kind_of(kind, cls)[0]}{placebo}")
    if "Source" in said:
        _field("paper", " ".join(line.strip() for line in said["Source"]))
    if kind not in ("problems", "networks"):
        _field("cost", _facts.cost_of(kind, cls))
    if any(line.strip() for line in said["body"]):
        print("\n" + "\n".join(f"  {line}".rstrip() for line in said["body"]).strip("\n"))
    _fields(arguments.name, cls)
    if departures := said.get("Departures"):
        print("\ndepartures from paper and code" + "".join(f"\n{line}" for line in departures).rstrip())
    if kind == "aggregators":
        given = [field for field, value in _facts.defaults_of(cls).items() if value is inspect.Parameter.empty]
        own, typed = (
            "".join(part.format(field) for field in given) for part in (", {}=...", " --set aggregator.{}=...")
        )
        print(
            f"\nin your own loop   build({arguments.name!r}{own}): see the README"
            f"\non a problem       gradsurgery run {arguments.name} --problem multi_mnist --scale smoke{typed}"
        )
    return 0


def _fields(name: str, cls: type) -> None:
    told = _facts.said_of(cls)
    defaults = {field: value for field, value in _facts.defaults_of(cls).items() if field not in ("arrays", "K")}
    print("\nfields" if defaults else "\nfields: none")
    for field, default in defaults.items():
        start = f"  {field}{_default(default)}: {_facts.range_of(cls, name, field)}"
        print(textwrap.fill(start, 118, subsequent_indent="      "))
        if field in told:
            print(textwrap.fill(told[field], 118, initial_indent="      ", subsequent_indent="      "))


def _default(value: Any) -> str:
    return " (must be given)" if value is inspect.Parameter.empty else f" = {value!r}"


def _field(name: str, text: str) -> None:
    print(textwrap.fill(text, 118, initial_indent=f"{name:<8}", subsequent_indent=" " * 8))
