"""How often the tasks' raw gradients conflict, by layer and as a whole, and how to compare that between two runs.

Gradients are those before any surgery. The share of an epoch is that of its (step, pair of tasks) whose cosine lies
below S. Two comparisons, each one number per seed, since a network that learns faster meets other gradients:

    equal step   the difference of the two runs' shares, averaged over the epochs that both have
    equal loss   shares are interpolated linearly as functions of the epoch's training loss (mean of the tasks), and
                 their difference is averaged over the losses that both runs pass through

Recon takes the layers that conflict most out of the shared vector, and without them the vector conflicts less even if
no gradient has changed. So both are taken of the whole shared vector, as the paper does, and of the layers that both
networks share (mean of their shares).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import Summary, summarise

_GRID = 64  # points on the common range of losses

Curve = Float64[np.ndarray, " epochs"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Shares of `run` minus those of `base`, paired by seed; None where no two runs pass through the same losses.

    Seeds may have split other layers, where they are drawn: `layers` are in common at least.
    """

    seeds: int
    layers: int
    whole_step: Summary
    whole_loss: Summary | None
    layers_step: Summary
    layers_loss: Summary | None


@dataclasses.dataclass(frozen=True)
class Split:
    """What a network with layers of the tasks' own has more than its base.

    Attributes:
        layers, parameters: split, and added by that; means over seeds, which may have drawn other layers.
        shared: parameters that the base shares, for comparison.
    """

    layers: int
    parameters: int
    shared: int


def scored(run: Run) -> bool:
    """Whether the run holds conflict counts."""
    return bool(run.layers and run.layers["names"] and run.layers["steps"])


def threshold(groups: Sequence[Sequence[Run]]) -> float:
    """Of the S that all runs counted, the nearest to that by which a network of theirs was made, or else to 0."""
    counted = [{float(S) for S in run.layers["thresholds"]} for group in groups for run in group if run.layers]
    made = [group[0].declaration.get("transform", {}).get("threshold") for group in groups]
    wanted = next((float(S) for S in made if S is not None), 0.0)
    common = set.intersection(*counted) if counted else {wanted}
    return min(sorted(common, reverse=True), key=lambda S: abs(S - wanted))


def whole_share(run: Run, S: float) -> Curve:
    """The share of every epoch, of the whole shared vector."""
    return _share(run, "whole", S)


def layer_shares(run: Run, S: float) -> dict[str, Curve]:
    """The share of every epoch, of each shared layer."""
    assert run.layers is not None
    return dict(zip(run.layers["names"], _share(run, "scores", S).T, strict=True))


def training_loss(run: Run) -> Curve:
    """The training loss of every epoch, mean of the tasks."""
    return np.array([np.mean([epoch[f"train.{task}.loss"] for task in run.tasks]) for epoch in run.epochs])


def compare(runs: Sequence[Run], base: Sequence[Run], S: float) -> Comparison:
    """`runs` against `base` at the threshold S, over the seeds that both have."""
    others = {run.seed: run for run in base}
    pairs = [(run, others[run.seed]) for run in runs if run.seed in others]
    if not pairs:
        raise ValueError("`base` must share a seed with `runs`, found none.")
    common = [[name for name in layer_shares(a, S) if name in layer_shares(b, S)] for a, b in pairs]
    whole = [(_Course(a, whole_share(a, S)), _Course(b, whole_share(b, S))) for a, b in pairs]
    layers = [
        (_Course(a, _mean(a, S, names)), _Course(b, _mean(b, S, names)))
        for (a, b), names in zip(pairs, common, strict=True)
    ]
    return Comparison(
        len(pairs),
        min(map(len, common)),
        summarise([_at_equal_step(a, b) for a, b in whole]),
        _at_equal_losses(whole),
        summarise([_at_equal_step(a, b) for a, b in layers]),
        _at_equal_losses(layers),
    )


def contrasts(family: str, mine: Line, theirs: Line, S: float) -> list[Contrast]:
    """The four comparisons of two lines that counted conflicts by layer; none where one did not."""
    if not (scored(mine.run) and scored(theirs.run)):
        return []
    found = compare(mine.runs, theirs.runs, S)
    values = {
        "whole_vector.conflict_at_loss": found.whole_loss, "whole_vector.conflict_at_step": found.whole_step,
        "common_layers.conflict_at_loss": found.layers_loss, "common_layers.conflict_at_step": found.layers_step,
    }  # fmt: skip
    ends, budget = (mine.run.problem, mine.method, theirs.method), mine.budget(theirs)
    return [Contrast(family, *ends, name, False, one, budget) for name, one in values.items() if one is not None]


def splits(lines: Mapping[str, Line], base: str) -> dict[str, Split]:
    """What the lines with layers of the tasks' own have more than the base; none without a base that was scored."""
    if base not in lines or not scored(lines[base].run):
        return {}
    own = {method: split(line.runs, lines[base].runs) for method, line in lines.items() if scored(line.run)}
    return {method: found for method, found in own.items() if found.layers}


def split(runs: Sequence[Run], base: Sequence[Run]) -> Split:
    """One line beside its base."""
    before = base[0].layers
    assert before is not None
    sizes: Mapping[str, int] = dict(zip(before["names"], before["sizes"], strict=True))
    gone = [set(sizes) - set(run.layers["names"]) for run in runs if run.layers is not None]
    copies = len(runs[0].tasks) - 1
    added = [copies * sum(sizes[name] for name in own) for own in gone]
    return Split(round(float(np.mean([len(own) for own in gone]))), round(float(np.mean(added))), sum(sizes.values()))


class _Course:
    """A share over training, by epoch and by training loss."""

    def __init__(self, run: Run, share: Curve):
        loss = training_loss(run)
        order = np.argsort(loss)
        self.share = share
        self.loss, self.by_loss = loss[order], share[order]


def _mean(run: Run, S: float, names: Sequence[str]) -> Curve:
    shares = layer_shares(run, S)
    return np.mean([shares[name] for name in names], axis=0)


def _at_equal_step(a: _Course, b: _Course) -> float:
    both = min(len(a.share), len(b.share))
    return float(np.mean(a.share[:both] - b.share[:both]))


def _at_equal_losses(pairs: Sequence[tuple[_Course, _Course]]) -> Summary | None:
    values = []
    for a, b in pairs:
        low, high = max(a.loss[0], b.loss[0]), min(a.loss[-1], b.loss[-1])
        if low >= high:
            return None
        grid = np.linspace(low, high, _GRID)
        values.append(float(np.mean(np.interp(grid, a.loss, a.by_loss) - np.interp(grid, b.loss, b.by_loss))))
    return summarise(values)


def _share(run: Run, key: str, S: float) -> np.ndarray:
    assert run.layers is not None
    counts = np.array(run.layers[key], dtype=float)[..., list(run.layers["thresholds"]).index(S)]
    K = len(run.tasks)
    return np.asarray(counts / (run.layers["steps"] / len(run.epochs) * K * (K - 1) / 2))
