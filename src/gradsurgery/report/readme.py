"""The README's generated block: a row a paper, headline claims by verdict. Numbers are never typed into Markdown."""

from collections.abc import Sequence

import pandas as pd

from gradsurgery.ledger.findings import Finding, published_value
from gradsurgery.ledger.words import counted, first_word
from gradsurgery.report.style import NAMES
from gradsurgery.report.tables import markdown

START, END = "<!-- generated:published-vs-ours -->", "<!-- /generated -->"


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Paper, claim, published value, ours with its interval, scale and track, verdict."""
    return pd.DataFrame(
        [
            {
                "paper": NAMES.get(f.record.paper, f.record.paper),
                "claim": f"{f.record.statement} ({f.record.cell})",
                "measure": f.record.metric,
                "published": published_value(f.record),
                "ours [95 % interval]": f.ours,
                "scale, track": f.place,
                "verdict": f.verdict,
            }
            for f in findings
        ]
    )


def matrix(findings: Sequence[Finding]) -> pd.DataFrame:
    """A row a paper: its claims and our controls by verdict, and the first of its claims that compares methods."""
    rows = []
    for paper in dict.fromkeys(f.record.paper for f in findings):
        theirs = [f for f in findings if f.record.paper == paper and f.record.origin != "control"]
        ours = [f for f in findings if f.record.paper == paper and f.record.origin == "control"]
        first = next((f for f in theirs if f.contrast is not None), (theirs + ours)[0])
        rows.append({
            "paper": f"[{NAMES.get(paper, paper)}](reports/papers/{paper}.html)",
            "its claims": _words(theirs),
            "our controls": _words(ours),
            "the first that compares methods": f"{first.record.statement}: *{first_word(first.verdict)}*",
            "published": published_value(first.record),
            "ours [95 % interval]": first.ours,
            "scale, track": first.place,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _words(findings: Sequence[Finding]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counted(f.verdict for f in findings)) or "-"


def with_block(text: str, findings: Sequence[Finding]) -> str:
    """`text` with the block between the markers replaced. Raises ValueError unless each marker stands there once."""
    before, _, after = _parts(text)
    return f"{before}{START}\n\n{markdown(matrix(findings))}\n{END}{after}"


def with_block_of(text: str, other: str) -> str:
    """`text` with the block that `other` has. Raises ValueError unless each marker stands once in both."""
    before, _, after = _parts(text)
    return f"{before}{START}{_parts(other)[1]}{END}{after}"


def _parts(text: str) -> tuple[str, str, str]:
    """What stands before, between and behind the markers."""
    for marker in (START, END):
        if text.count(marker) != 1:
            raise ValueError(f"`{marker}` must appear once in the README, found {text.count(marker)} times.")
    before, rest = text.split(START)
    block, after = rest.split(END)
    return before, block, after
