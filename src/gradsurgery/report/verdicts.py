"""The whole ledger judged at once: `reports/verdict.json`, a table per paper, counts of records by verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.ledger.judging import WORDS, Finding, Groups, Metrics, is_cell, judge, published_value
from gradsurgery.ledger.records import Paper, Record
from gradsurgery.report.style import NAMES
from gradsurgery.report.tables import Linked, source

Findings = Mapping[str, Sequence[Finding]]


def find(
    papers: Sequence[Paper], groups: Groups, metrics: Metrics, gone: Groups | None = None
) -> dict[str, list[Finding]]:
    """Every record of every paper beside our evidence, by paper; arguments as for `findings.judge`.

    Raises:
        ValueError: a record names a metric or a pair of experiments that its histories cannot answer.
    """
    return {paper.key: [_judge(record, groups, metrics, gone or {}) for record in paper.records] for paper in papers}


def _judge(record: Record, groups: Groups, metrics: Metrics, gone: Groups) -> Finding:
    try:
        return judge(record, groups, metrics, gone)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{record.id}: {error}") from None


def verdicts(findings: Findings) -> dict[str, dict[str, Any]]:
    """The content of `verdict.json`: by record id the verdict, both numbers and what ties them together."""
    return {finding.record.id: _entry(finding) for group in findings.values() for finding in group}


def _entry(finding: Finding) -> dict[str, Any]:
    """Whatever says nothing is left out: most of the records are cells that nobody here can run."""
    record, answer = finding.record, finding.record.answered_by
    entry: dict[str, Any] = {"verdict": finding.verdict, "published": published_value(record), "cell": record.cell}
    if record.doubtful:
        entry["doubtful"] = True
    if answer is None:
        return entry
    entry |= {"kind": record.kind, "origin": record.origin, "experiment": answer.experiment, "metric": answer.metric}
    entry |= {"ours": finding.ours, "where": finding.where, "why": finding.why}
    optional = {"minus": answer.minus, "twin": record.twin}
    return entry | {name: value for name, value in optional.items() if value}


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
    """One paper: every record that an experiment answers, claims first, with its id for `gradsurgery-why`."""
    answered = [f for f in findings if f.record.answered_by]
    rows = [
        {
            "record": f.record.id, "claim or cell": f.record.statement, "published": published_value(f.record),
            "ours [95 % interval]": _linked(f), "scale, track": f.where, "verdict": f.verdict, "why": f.why,
        }
        for f in sorted(answered, key=lambda f: is_cell(f.record))
    ]  # fmt: skip
    columns = ["record", "claim or cell", "published", "ours [95 % interval]", "scale, track", "verdict", "why"]
    return pd.DataFrame(rows, columns=columns)


def _linked(finding: Finding) -> Linked | str:
    answer = finding.record.answered_by
    return source(answer.experiment, finding.ours) if answer and finding.ours != "-" else finding.ours


def reasons(findings: Sequence[Finding]) -> dict[str, int]:
    """Why records of one paper were not run, and how many for each reason, most frequent first."""
    found: dict[str, int] = {}
    for finding in findings:
        if finding.verdict.startswith("not run"):
            reason = finding.verdict.removeprefix("not run (").removesuffix(")")
            found[reason] = found.get(reason, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))
