"""Where a router's updater goes: the weight of the primary task's own tower, and what its cosines were."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.report.section import Drawing, Section
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import canvas, label, look
from gradsurgery.report.titles import title

_PAINTS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")  # variants of one method, which share its colour
_PANELS = {"mu": "weight of the own tower", "xi_a": "cosine, own and lent tower", "xi_b": "cosine, other task's tower"}
_GONE = 0.99  # own weight above which the lent tower no longer counts


def part(key: str, sources: Sources, problem: str) -> Section | None:
    """None where no line of the problem has a router."""
    groups = of(sources.groups, problem)
    routed = {m: runs for m, runs in groups.items() if any("rule.mu" in row for row in runs[0].diagnostics)}
    if not routed:
        return None
    caption = f"{title(problem)}: what the router sees and the updater does; a line is one seed."
    return Section("", "", sentence(routed), [Drawing(f"{key}-router", figure(routed), caption)])


def sentence(routed: Mapping[str, Sequence[Run]]) -> str:
    """Where the updater's weight ends, and whether that takes the lent tower out of the network."""
    ends = {method: [values[-1] for _, values in recorded(runs, "mu")] for method, runs in routed.items()}
    told = "; ".join(f"{label(method)} {np.mean(own):.3f}" for method, own in ends.items())
    text = f"Weight of the primary task's own tower, which starts at 0.5, at the end: {told}."
    gone = "; ".join(label(method) for method, own in ends.items() if min(own) > _GONE)
    return (
        f"{text} Near 1 the lent tower no longer counts, and the network predicts as an MMoE: {gone}." if gone else text
    )


def figure(routed: Mapping[str, Sequence[Run]]) -> Figure:
    """The updater's weight and the router's two cosines over training, a line a seed."""
    with look():
        drawn = canvas(9.4, 3.2)
        for axes, (key, text) in zip(drawn.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
            for place, (method, runs) in enumerate(routed.items()):
                for seed, (steps, values) in enumerate(recorded(runs, key)):
                    said = {} if seed else {"label": label(method)}
                    axes.plot(steps, values, "-", color=_PAINTS[place % len(_PAINTS)], linewidth=0.8, alpha=0.8, **said)
            axes.set_xscale("log")
            axes.set_xlabel("training step")
            axes.set_title(text)
        drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return drawn


def recorded(runs: Sequence[Run], key: str) -> Iterator[tuple[list[int], list[float]]]:
    """Training steps, the first being 1, and one of the router's numbers, for every seed."""
    for run in runs:
        rows = [row for row in run.diagnostics if f"rule.{key}" in row]
        yield [int(row["step"]) + 1 for row in rows], [float(row[f"rule.{key}"]) for row in rows]
