"""The ledger in tables: one per paper, and counts of records by verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.ledger.findings import Finding, is_cell, published_value
from gradsurgery.ledger.words import WORDS
from gradsurgery.report.style import NAMES
from gradsurgery.report.tables import Linked, source

Findings = Mapping[str, Sequence[Finding]]


def counts(findings: Findings) -> pd.DataFrame:
    """One row per paper: how many records there are, and how many have each verdict."""
    rows = []
    for paper, group in findings.items():
        row: dict[str, Any] = {
            "paper": NAMES.get(paper, paper), "records": len(group),
            "claims and controls": sum(not is_cell(f.record) for f in group),
            "with an experiment": sum(f.record.answered_by is not None for f in group),
            "doubtful": sum(f.record.doubtful is not None for f in group),
        }  # fmt: skip
        rows.append({**row, **{word: sum(f.verdict.startswith(word) for f in group) for word in WORDS}})
    frame = pd.DataFrame(rows)
    return frame if frame.empty or frame["diverged"].any() else frame.drop(columns="diverged")


def table(findings: Sequence[Finding]) -> pd.DataFrame:
    """One paper: every record that an experiment answers, claims first, with its id for `python -m pipelines.why`."""
    answered = [f for f in findings if f.record.answered_by]
    rows = [
        {
            "record": f.record.id, "claim or cell": f.record.statement, "published": published_value(f.record),
            "ours [95 % interval]": _linked(f), "scale, track": f.place, "verdict": f.verdict, "why": f.why,
        }
        for f in sorted(answered, key=lambda f: is_cell(f.record))
    ]  # fmt: skip
    columns = ["record", "claim or cell", "published", "ours [95 % interval]", "scale, track", "verdict", "why"]
    return pd.DataFrame(rows, columns=columns)


def _linked(finding: Finding) -> Linked | str:
    answer = finding.record.answered_by
    if not answer or finding.ours == "-":
        return finding.ours
    return source(answer.experiment, finding.ours).at(finding.scale)


def reasons(findings: Sequence[Finding]) -> dict[str, int]:
    """Why records of one paper were not run, and how many for each reason, most frequent first.

    Experiments that wait for their scale are one reason, whatever they are called.
    """
    found: dict[str, int] = {}
    for finding in findings:
        if finding.verdict.startswith("not run"):
            reason = finding.verdict.removeprefix("not run (").removesuffix(")")
            reason = "its experiment was not run here" if reason.startswith("no history of ") else reason
            found[reason] = found.get(reason, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))
