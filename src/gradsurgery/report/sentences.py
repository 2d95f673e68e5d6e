"""One plain sentence on a problem, made from the numbers and never stronger than they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.contrasts import Contrast, Contrasts
from gradsurgery.evidence.measures import capital, measure
from gradsurgery.report.format import by_word
from gradsurgery.report.style import label

Metrics = Mapping[str, Mapping[str, Any]]


def landscape_sentence(problem: str, metrics: Metrics) -> str:
    """How many starts each method solves, and which are stuck."""
    rows = {r["method"]: r["landscape"] for r in metrics.values() if r["problem"] == problem}
    starts = next(iter(rows.values()))["starts"]
    parts = []
    for count in sorted({row["solved"] for row in rows.values()}, reverse=True):
        names = ", ".join(f"({label(m)})" if "," in label(m) else label(m) for m in rows if rows[m]["solved"] == count)
        many = {starts: f"all {starts} starts", 0: "none"}.get(count, str(count))
        parts.append(f"from {many}: {names}")
    sentence = f"Solved {'; '.join(parts)}."
    stuck = [f"{label(m)} from {row['stuck']}" for m, row in rows.items() if row["stuck"]]
    return f"{sentence} Stuck above zero loss, of {starts} starts: {'; '.join(stuck)}." if stuck else sentence


def image_sentence(problem: str, metrics: Metrics, contrasts: Contrasts) -> str:
    """Which methods differ from the sum, in which direction and by how much, a sentence for each kind of metric.

    A line that may not stand in the controlled table (`excluded`), or is of another track than the sum, is only named:
    it trains on other terms.
    """
    paired = [r for r in metrics.values() if r["problem"] == problem and r.get("minus_sum")]
    track = next((r["track"] for r in metrics.values() if (r["problem"], r["method"]) == (problem, "sum")), None)
    records = {r["method"]: r for r in paired if not r.get("excluded") and r["track"] == track}
    if not records:
        return "The sum was not run to its end, so that nothing can be compared with it."
    found = [c for c in contrasts.of("sum", problem) if c.method in records and c.metric.startswith("all.")]
    kinds = dict.fromkeys(c.metric for c in found)
    sentence = " ".join(_kind([c for c in found if c.metric == metric], records) for metric in kinds)
    outside = "; ".join(f"{label(r['method'])} ({_why_outside(r)})" for r in paired if r["method"] not in records)
    return f"{sentence} Outside this comparison: {outside}." if outside else sentence


def _kind(found: Sequence[Contrast], records: Mapping[str, Mapping[str, Any]]) -> str:
    best_first = sorted(found, key=lambda c: -c.gain.mean)
    shown, scale = measure(found[0].metric), next(iter(records.values()))["scale"]
    told = f"{shown.step} of {shown.name}" if shown.step else shown.name
    tail = f"against the sum, {told}, mean of tasks, n = {max(c.difference.n for c in found)}, scale {scale}"
    unknown = "" if all(c.noise is not None for c in found) else "; the test examples are not in the intervals"
    return f"{capital(by_word(best_first))} ({tail}; exploratory, uncorrected{unknown})."


def _why_outside(record: Mapping[str, Any]) -> str:
    return "breaks its terms" if record.get("excluded") else f"track {record['track']}"
