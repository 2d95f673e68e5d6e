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

from gradsurgery.evidence.history import Run
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


def scored(run: Run) -> bool:
    """Whether the run holds conflict counts."""
    return bool(run.layers and run.layers["names"] and run.layers["steps"])


def thresholds(runs: Sequence[Run]) -> list[float]:
    """The S that every one of the runs counted, falling."""
    common = set.intersection(*({float(S) for S in run.layers["thresholds"]} for run in runs if run.layers))
    return sorted(common, reverse=True)


def whole_share(run: Run, S: float) -> Curve:
    """The share of every epoch, of the whole shared vector."""
    return _share(run, "whole", S)


def layer_shares(run: Run, S: float) -> dict[str, Curve]:
    """The share of every epoch, of each shared layer."""
    assert run.layers is not None
    return dict(zip(run.layers["names"], _share(run, "scores", S).T, strict=True))


def scores(runs: Sequence[Run], S: float) -> dict[str, int]:
    """The S-conflict score of each shared layer, added over epochs and seeds: what Recon ranks layers by."""
    counts = [run.layers for run in runs if run.layers is not None]
    total = np.sum([np.sum(c["scores"], axis=0)[:, list(c["thresholds"]).index(S)] for c in counts], axis=0)
    return dict(zip(counts[0]["names"], total.tolist(), strict=True))


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


def added_parameters(runs: Sequence[Run], base: Sequence[Run]) -> tuple[int, int, int]:
    """What a network with layers of the tasks' own has more than its base: layers split, parameters added (means over
    seeds, which may have drawn other layers), and, for comparison, the parameters that the base shares."""
    before = base[0].layers
    assert before is not None
    sizes: Mapping[str, int] = dict(zip(before["names"], before["sizes"], strict=True))
    split = [set(sizes) - set(run.layers["names"]) for run in runs if run.layers is not None]
    copies = len(runs[0].tasks) - 1
    added = [copies * sum(sizes[name] for name in own) for own in split]
    return round(float(np.mean([len(own) for own in split]))), round(float(np.mean(added))), sum(sizes.values())


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
