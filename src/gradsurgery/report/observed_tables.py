"""The layers' gradients in tables and in one sentence per problem; only the numbers decide the words."""

import dataclasses
import math
from collections.abc import Sequence

import pandas as pd

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import PLAIN
from gradsurgery.evidence.observed import BASELINE, Runs, conflicting
from gradsurgery.evidence.observed_methods import Observed
from gradsurgery.evidence.roles import COPIES
from gradsurgery.evidence.statistics import Comparison, Summary
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

_NAMED = 4  # so many layers are named, the others counted


def layer_table(sources: Sources) -> pd.DataFrame:
    """One row per shared layer of the line that is shown layer by layer."""
    rows = []
    for problem in sources.data:
        found = sources.measured.observed.get(problem)
        for layer in found.layers if found else ():
            group = sources.groups[f"{problem}-{found.principal}"] if found else ()
            rows.append({
                "problem": title(problem), "trained with": source(group[0].experiment, spoken(group[0])),
                "layer": layer.name, "parameters": layer.size, "cosine between tasks": _cell(layer.cosine),
                "steps below -2 sd of random directions (%)": _share(layer.below),
                "minus halves of one task's batch":
                    _cell(layer.tested.difference, signed=True) if found and found.halves else "-",
                "p after Holm": _p(layer.tested),
                "magnitude similarity": _cell(layer.similarity),
                "curvature, first third": _bend(layer.first), "curvature, last third": _bend(layer.last),
                "n": len(group),
            })  # fmt: skip
    return pd.DataFrame(rows)


def method_table(sources: Sources) -> pd.DataFrame:
    """One row per method: cosine and curvature of the whole shared vector, and what differs from the sum."""
    rows = []
    for problem in sources.data:
        found = sources.measured.observed.get(problem)
        for method, entry in found.methods.items() if found else ():
            group = sources.groups[f"{problem}-{method}"]
            rows.append({
                "problem": title(problem), "method": source(group[0].experiment, label(method)),
                "cosine": _cell(entry.cosine), "cosine minus sum": _difference(entry.cosine_minus),
                "p after Holm": _p(entry.cosine_minus), "curvature": _cell(entry.curvature),
                "curvature minus sum": _difference(entry.curvature_minus),
                "p after Holm, curvature": _p(entry.curvature_minus), "curvature, first third": _cell(entry.first),
                "curvature, last third": _cell(entry.last),
                "layers whose cosine separates from the sum": f"{len(entry.changed)} of {entry.layers}"
                if entry.layers else "-",
                "n": len(group),
            })  # fmt: skip
    return pd.DataFrame(rows)


def sentence(found: Observed, runs: Runs) -> str:
    """In which layers the cosine lies below its null, and how the curvature moves."""
    group = runs[found.principal]
    run = group[0]
    text = (
        f"Scale {run.scale}, track {run.track}, n = {len(group)}, {len(run.tasks)} tasks, {len(found.layers)} shared "
        f"layers. Trained with {spoken(run)}, {_below(found)}"
    )
    return f"{text} {_moves(found, runs)}"


def _below(found: Observed) -> str:
    low = [layer for layer in found.layers if layer.name in conflicting(found.layers)]
    named = [f"{layer.name} {_cell(layer.tested.difference, signed=True)}" for layer in low]
    if found.halves:
        claim = "two tasks agree less than two halves of one task's batch"
    else:
        claim = "the cosine between tasks lies below that of random directions (0)"
    test = f"(95 %, Holm over {len(found.layers)})" if len(found.layers) > 1 else "(95 %)"
    if not low:
        return f"no layer was found in which {claim} {test}."
    return f"{claim} in {_layers(named, len(found.layers))} {test}."


def _moves(found: Observed, runs: Runs) -> str:
    entry, change = found.methods[found.moving], found.movement
    ends = f"{_cell(entry.first)} in the first third of training and {_cell(entry.last)} in the last"
    if change.low is None or change.high is None:
        word = "one seed has no interval"
    elif change.low <= 0.0 <= change.high:
        word = "inconclusive"
    else:
        word = "it rises" if change.mean > 0 else "it falls"
    name = spoken(runs[found.moving][0])
    return f"Curvature along the step of {name} is {ends}: {word} ({_cell(change, signed=True)})."


def _layers(some: Sequence[str], count: int) -> str:
    text = f"{len(some)} of {count} layers"
    more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
    return f"{text} ({', '.join(some[:_NAMED])}{more})"


def spoken(run: Run) -> str:
    """A line's name within a sentence: what it was trained with."""
    method = run.role.of if run.role.kind in COPIES else run.method
    return "the sum" if method == BASELINE else label(str(method))


def _p(found: Comparison | None) -> str:
    """After Holm's correction over the layers."""
    return "-" if found is None or found.p_holm is None else f"{found.p_holm:.3f}"


def _difference(entry: Comparison | None) -> str:
    return "-" if entry is None else _cell(entry.difference, signed=True)


def _share(summary: Summary) -> str:
    """In per cent; an interval of a share ends where shares do."""
    if summary.low is None or summary.high is None:
        return f"{100 * summary.mean:.1f}"
    clipped = dataclasses.replace(summary, low=max(summary.low, 0.0), high=min(summary.high, 1.0))
    return _cell(clipped, 1, 100.0)


def _bend(summary: Summary) -> str:
    """Layers differ by orders of magnitude: three digits of the mean."""
    size = abs(summary.mean)
    return _cell(summary, min(max(2 - math.floor(math.log10(size)), 0), 6) if size > 0.0 else 3)


def _cell(summary: Summary, digits: int = 3, factor: float = 1.0, signed: bool = False) -> str:
    return dataclasses.replace(PLAIN, factor=factor).say(summary, signed, digits)
