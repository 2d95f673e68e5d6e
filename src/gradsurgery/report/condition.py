"""PCGrad's three-part condition in a table and a sentence: what `evidence.pcgrad_condition` counts."""

import pandas as pd

from gradsurgery.evidence.pcgrad_condition import METHODS, Share
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

PARTS = {
    "conflict": "cosine below 0", "a": "(a) cosine at most -Phi", "b": "and xi at most 1, implied by (b)",
    "bends": "and curvature above 0", "c": "and step times curvature at least 2, implied by (c)",
}  # fmt: skip


def table(sources: Sources) -> pd.DataFrame:
    """One row for the sum and for PCGrad on every problem with two tasks."""
    rows = []
    for problem in sources.data:
        for method, found in sorted(sources.measured.condition.get(problem, {}).items()):
            cells = {f"{text} (%)": _said(found.get(part)) for part, text in PARTS.items()}
            name, n = source(f"{problem}-{method}", label(method)), len(sources.groups[f"{problem}-{method}"])
            rows.append({
                "problem": title(problem), "method": name, **cells, "steps": found["conflict"].steps, "n": n,
            })  # fmt: skip
    frame = pd.DataFrame(rows, columns=["problem", "method", *(f"{text} (%)" for text in PARTS.values()), "steps", "n"])
    return frame[[name for name in frame.columns if not (len(frame) and (frame[name] == "-").all())]]


def sentence(sources: Sources) -> str:
    """How many of the steps of all problems can meet the condition; empty where none can be judged."""
    judged = {(p, m): parts for p in sources.data for m, parts in sources.measured.condition.get(p, {}).items()}
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
