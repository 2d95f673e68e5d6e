"""The whole ledger judged at once: every record of every paper beside our evidence."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.documents import decode, encode
from gradsurgery.evidence.statistics import Summary, holm
from gradsurgery.ledger.findings import Finding, Length, published_value
from gradsurgery.ledger.judging import Ours, judge, said_of, tested
from gradsurgery.ledger.records import Paper, Record
from gradsurgery.ledger.scales import told
from gradsurgery.ledger.words import NOT_EXERCISED

Findings = Mapping[str, Sequence[Finding]]


def find(papers: Sequence[Paper], ours: Ours) -> dict[str, list[Finding]]:
    """Every record of every paper beside our evidence, by paper; its confirmatory claims are one family (Holm).

    Raises:
        ValueError: a record names a metric or a pair of experiments that its histories cannot answer.
    """
    return {paper.key: _corrected([_judge(record, ours) for record in paper.records], ours) for paper in papers}


def _judge(record: Record, ours: Ours) -> Finding:
    try:
        return judge(record, ours)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{record.id}: {error}") from None


def _corrected(findings: Sequence[Finding], ours: Ours) -> list[Finding]:
    p = {f.record.id: tested(f) for f in findings if f.confirmatory and f.verdict != NOT_EXERCISED}
    known = {name: value for name, value in p.items() if value is not None}
    family = dict(zip(known, holm(list(known.values())), strict=True))
    return [_with(f, family[f.record.id], ours) if f.record.id in family else f for f in findings]


def _with(finding: Finding, p: float, ours: Ours) -> Finding:
    equal = finding.record.kind == "no_difference"
    return said_of(finding, ours, None if equal else p, p if equal else None)


def verdicts(findings: Findings) -> dict[str, dict[str, Any]]:
    """The content of `verdict.json`: by record id the verdict, both numbers and what ties them together; beside ours in
    words its level (a `Summary` in the metric's own unit) and its difference (a `Contrast`)."""
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
    entry |= {"ours": finding.ours, "where": finding.where, "why": finding.why, "confirmatory": finding.confirmatory}
    optional = {
        "minus": answer.minus, "twin": record.twin, "level": encode(finding.level), "effect": encode(finding.effect),
        "difference": finding.contrast.as_record() if finding.contrast else None,
    }  # fmt: skip
    return entry | {name: value for name, value in optional.items() if value}


def parse(document: Mapping[str, Mapping[str, Any]], papers: Sequence[Paper]) -> dict[str, list[Finding]]:
    """What `verdicts` wrote, beside the records. Raises KeyError for a record that has no entry."""
    return {paper.key: [_finding(record, document[record.id]) for record in paper.records] for paper in papers}


def _finding(record: Record, entry: Mapping[str, Any]) -> Finding:
    level = decode(Summary, entry["level"]) if "level" in entry else None
    difference = Contrast.of_record(entry["difference"]) if "difference" in entry else None
    ours, where = (entry.get(name, "-") for name in ("ours", "where"))
    lengths = [decode(Length, each) for each in entry.get("lengths", [])]
    return Finding(record, ours, where, entry["verdict"], entry.get("why", ""), level, difference, entry.get("effect"),
                   entry.get("confirmatory", False), told(entry), entry.get("scale", ""), lengths)  # fmt: skip
