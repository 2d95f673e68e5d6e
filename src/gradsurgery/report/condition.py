"""PCGrad's three-part condition in a table and a sentence: what `evidence.pcgrad_condition` counts."""

from collections.abc import Sequence

import pandas as pd

from gradsurgery.evidence.groups import Groups, of
from gradsurgery.evidence.pcgrad_condition import Share, shares
from gradsurgery.report.style import label
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

METHODS = ("sum", "pcgrad")
PARTS = {
    "conflict": "cosine below 0", "a": "(a) cosine at most -Phi", "b": "and xi at most 1, implied by (b)",
    "bends": "and curvature above 0", "c": "and step times curvature at least 2, implied by (c)",
}  # fmt: skip


def table(groups: Groups, problems: Sequence[str]) -> pd.DataFrame:
    """One row for the sum and for PCGrad on every problem with two tasks."""
    rows = []
    for problem in problems:
        for method, group in of(groups, problem).items():
            found = shares(group) if method in METHODS else {}
            if found:
                cells = {f"{text} (%)": _said(found.get(part)) for part, text in PARTS.items()}
                name = source(group[0].experiment, label(method))
                steps = found["conflict"].steps
                rows.append({"problem": title(problem), "method": name, **cells, "steps": steps, "n": len(group)})
    frame = pd.DataFrame(rows, columns=["problem", "method", *(f"{text} (%)" for text in PARTS.values()), "steps", "n"])
    return frame[[name for name in frame.columns if not (len(frame) and (frame[name] == "-").all())]]


def sentence(groups: Groups, problems: Sequence[str]) -> str:
    """How many of the steps of all problems can meet the condition; empty where none can be judged."""
    found = {
        (problem, m): shares(group)
        for problem in problems
        for m, group in of(groups, problem).items() if m in METHODS
    }  # fmt: skip
    judged = {key: parts for key, parts in found.items() if parts}
    if not judged:
        return ""
    steps = sum(parts["conflict"].steps for parts in judged.values())
    counts = {part: sum(parts[part].count for parts in judged.values()) for part in ("conflict", "a", "b")}
    text = (
        f"PCGrad's three-part condition (stated for two tasks; {_problems(len({p for p, _ in judged}))}, trained with "
        f"{' or '.join(label(m) for m in METHODS if any(m == key[1] for key in judged))}): of {steps:,} diagnosed "
        f"steps {counts['conflict']:,} conflict, and "
    )
    if not counts["a"]:
        return (
            f"{text}none meets part (a), a cosine of at most minus the magnitude similarity: it held in none of them."
        )
    text += f"{counts['a']:,} meet part (a), {counts['b']:,} of them also what part (b) implies"
    bends = [parts["bends"] for parts in judged.values() if "bends" in parts]
    if bends:
        count, of_all = sum(share.count for share in bends), sum(share.steps for share in bends)
        text += f"; of the {of_all:,} steps with a recorded curvature {count:,} do so where it is positive"
    where = sorted({title(problem) for (problem, _), parts in judged.items() if parts["b"].count})
    return f"{text}. The last lie in {', '.join(where)}." if where else f"{text}. So it held in none of them."


def _problems(count: int) -> str:
    return f"{count} problem{'s' if count > 1 else ''}"


def _said(share: Share | None) -> str:
    if share is None or share.low is None or share.high is None:
        return "-"
    return f"{100 * share.mean:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
