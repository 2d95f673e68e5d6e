"""Writes `docs/methods/`: one page per slot filler from its docstring, and an index. `--check` only compares.

A docstring is the only place where a method is described; its page adds the fields with their defaults and the lines
of `params.yaml` that select it. A page whose method is gone is removed.
"""

import argparse
import dataclasses
import inspect
import re
import sys
from pathlib import Path

from gradsurgery.core import discovery

PAGES = Path(__file__).parent / "methods"
SLOTS = {  # folder of the package -> (slot in params.yaml, what fills it)
    "aggregators": ("aggregator", "J or G in, direction out"),
    "balancers": ("balancer", "K losses in, K balanced losses out"),
    "transforms": ("transform", "rewrites the network before training"),
    "rules": ("rule", "how an epoch is run"),
}
SECTION = re.compile(r"(Source|Args|Departures): ?(.*)")
FIELD = re.compile(r" {0,4}`?(\w+)`?: (.*)")
WARNING = "<!-- Written by docs/generate.py from the docstring; edit that. -->"


def pages() -> dict[str, str]:
    """File name -> text of every page, the index included. Raises ValueError for two fillers of one name."""
    texts: dict[str, str] = {}
    index = [WARNING, "", "# Methods", "", "One page per filler of a slot, written from its docstring.", ""]
    for kind, (slot, what) in SLOTS.items():
        index += [f"## {slot}", "", f"{what[0].upper()}{what[1:]}.", "", "| name | what it does |", "|---|---|"]
        for name in discovery.available(kind):
            file = f"{name}.md"
            if file in texts:
                raise ValueError(f"`{kind}/{name}` must have a name of its own, found another slot's page {file}.")
            cls = discovery.find(kind, name)
            texts[file] = page(kind, slot, name, cls)
            index.append(f"| [`{name}`]({file}) | {docstring(cls)[0].replace('|', chr(92) + '|')} |")
        index.append("")
    texts["README.md"] = "\n".join(index)
    return texts


def page(kind: str, slot: str, name: str, cls: type) -> str:
    """The page of one filler: what it does, its fields, how to ask for it, then the rest of the docstring."""
    first, *rest = docstring(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    defaults = {k: _yaml(f.default) for k, f in fields.items() if f.default is not dataclasses.MISSING}
    chosen = {"name": name, **{k: "..." for k in fields if k not in defaults}}
    lines = [WARNING, "", f"# {name}", "", first, "", "```yaml", f"{slot}: {_entry(chosen)}"]
    if defaults:
        lines.append(f"{slot}: {_entry({**chosen, **defaults})}  # the defaults")
    lines += ["```", "", f"Code: [`{kind}/{name}.py`](../../src/gradsurgery/{kind}/{name}.py)", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join([*lines, *_body(rest)])).rstrip("\n") + "\n"


def docstring(cls: type) -> list[str]:
    """Lines of the class's own docstring, the first sentence joined to one line.

    Raises:
        ValueError: there is none, or only the signature that `dataclass` puts in its place.
    """
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    if not text or text.startswith(f"{cls.__name__}("):
        raise ValueError(f"`{cls.__module__}.{cls.__name__}` must have a docstring, found none.")
    lead, _, rest = text.partition("\n\n")
    return [" ".join(lead.split()), *rest.splitlines()]


def _body(lines: list[str]) -> list[str]:
    """Markdown of a docstring's sections: section names become headings, `Args` a list, the rest stays as it is."""
    out: list[str] = []
    section = ""
    for line in lines:
        heading, field = SECTION.fullmatch(line), FIELD.fullmatch(line)
        if heading:
            section = heading[1]
            out += ["", f"## {section}", "", heading[2]]
        elif section == "Args" and field:
            out.append(f"- `{field[1]}`: {field[2]}")
        elif section == "Args" and line.strip():
            out.append(f"  {line.strip()}")
        elif section == "Departures":
            out.append(line.removeprefix("    "))
        else:
            out.append(line)
    return out


def _entry(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}"


def _yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and "." not in str(value):
        return str(value).replace("e", ".0e")  # without the point YAML 1.1 reads a text
    return f"[{', '.join(_yaml(v) for v in value)}]" if isinstance(value, tuple) else str(value)


def stale() -> list[str]:
    """Names of pages that are missing, differ from their docstring, or have no method any more."""
    wanted = pages()
    found = {p.name: p.read_text(encoding="utf-8") for p in PAGES.glob("*.md")}
    return sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 and name the pages that are not up to date"
    )
    check = parser.parse_args().check
    names = stale()
    if check:
        print(
            f"Not up to date, run `python docs/generate.py`: {', '.join(names)}"
            if names
            else "All pages are up to date."
        )
        return 1 if names else 0
    wanted = pages()
    PAGES.mkdir(exist_ok=True)
    for name in names:
        if name in wanted:
            (PAGES / name).write_text(wanted[name], encoding="utf-8")
        else:
            (PAGES / name).unlink()
    print(f"{len(wanted)} pages, {len(names)} of them changed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
