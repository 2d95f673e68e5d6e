"""What a column of a published table asks for that is no metric of a problem: each in the words of its table.

Delta-m is read from the scores of the line (`evidence/scores.py`), where it is taken against our own single-task runs.
Mean ranks are taken among those rows of the table that we have, seed by seed. Cosines are of all pairs of task
gradients in all steps, of the whole shared vector, as Recon counts them; how many are fewer is a share of another
line's. How far two rankings of layers lie apart is the mean over layers of the difference of ranks. None stands for
what the runs do not hold: a Delta-m without single-task runs, a threshold that was not counted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.core.layers import ranked
from gradsurgery.core.metrics import mean_ranks
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.layer_conflict import scored, whole_share
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import Summary, summarise

_SCORES = ("delta_m_metric", "delta_m_task")
_TURNED = {"gain_task": "delta_m_task"}  # as Recon prints it: more is better
_BINS: Mapping[str, tuple[float | None, float | None]] = {  # cosines from the first number on, and below the second
    "bins.above_0": (0.0, None), "bins.to_minus_01": (-0.01, 0.0), "bins.to_minus_02": (-0.02, -0.01),
    "bins.to_minus_03": (-0.03, -0.02), "bins.below_minus_03": (None, -0.03), "bins.below_minus_08": (None, -0.08),
}  # fmt: skip
_FEWER = {"fewer.below_minus_01": -0.01, "fewer.below_minus_02": -0.02, "fewer.below_minus_04": -0.04}
_RANKING = {"ranking.distance": -0.1}  # by the threshold that Recon ranks layers by on Multi-Fashion+MNIST
_RANKING_QUARTER = {"ranking.of_first_quarter": -0.1}
RANKS = "mean_rank"
COLUMNS = (RANKS, *_SCORES, *_TURNED, *_BINS, *_FEWER, *_RANKING, *_RANKING_QUARTER)
PAIRED = (*_FEWER, *_RANKING)  # those that need a second line


def column_of(
    metric: str, line: Line, score: Mapping[str, Any], minus: Line | None, among: Sequence[Line]
) -> Summary | None:
    """The level of one of `COLUMNS`, one number a seed.

    Args:
        metric: out of `COLUMNS`.
        line: its runs.
        score: its entry of `metrics.json`.
        minus: the line that one of `PAIRED` is held against.
        among: the lines among which a rank is taken, its own too.
    """
    if metric == RANKS:
        return _mean_rank(line, among)
    if metric in _SCORES or metric in _TURNED:
        found = score.get(_TURNED.get(metric, metric))
        if found is None:
            return None
        summary = Summary(found["n"], found["mean"], found["sd"], *(found["ci95"] or (None, None)))
        return summary.turned() if metric in _TURNED else summary
    runs = {run.seed: run for run in line.runs}
    others = {run.seed: run for run in minus.runs} if minus else {}
    if metric in PAIRED:
        runs = {seed: run for seed, run in runs.items() if seed in others}
    values = [_value(metric, run, others.get(seed)) for seed, run in sorted(runs.items())]
    told = [value for value in values if value is not None]
    return summarise(told) if told and len(told) == len(values) else None


def _mean_rank(line: Line, among: Sequence[Line]) -> Summary | None:
    """Over the seeds that all have; None where the line is alone."""
    seeds = set.intersection(*(set(each.chosen) for each in (line, *among)))
    if len(among) < 2 or not seeds:
        return None
    rows = [{each.method: each.chosen[seed] for each in among} for seed in sorted(seeds)]
    return summarise([mean_ranks(own, line.run.metrics)[line.method] for own in rows])


def _value(metric: str, run: Run, other: Run | None) -> float | None:
    if metric in _BINS:
        low, high = _BINS[metric]
        above, below = (1.0 if high is None else _below(run, high)), (0.0 if low is None else _below(run, low))
        return None if above is None or below is None else above - below
    if metric in _FEWER:
        own, base = (_below(each, _FEWER[metric]) if each else None for each in (run, other))
        return 1.0 - own / base if own is not None and base else None
    S = {**_RANKING, **_RANKING_QUARTER}[metric]
    mine = _ranks(run, S)
    theirs = _ranks(run, S, 0.25) if metric in _RANKING_QUARTER else _ranks(other, S) if other else None
    if not mine or not theirs or mine.keys() != theirs.keys():
        return None
    return float(np.mean([abs(mine[name] - theirs[name]) for name in mine]))


def _below(run: Run, S: float) -> float | None:
    """The share of all (step, pair of tasks) whose cosine lies below S; None where it was not counted."""
    return float(whole_share(run, S).mean()) if _counted(run, S) else None


def _ranks(run: Run, S: float, part: float = 1.0) -> dict[str, int] | None:
    """The rank of every shared layer, from 0, by its conflicts in the first part of the epochs."""
    if not _counted(run, S):
        return None
    assert run.layers is not None
    names, column = run.layers["names"], run.layers["thresholds"].index(S)
    epochs = np.array(run.layers["scores"])[: max(1, round(part * len(run.layers["scores"])))]
    totals = epochs[:, :, column].sum(axis=0).tolist()
    return {name: place for place, name in enumerate(ranked(dict(zip(names, totals, strict=True)), names))}


def _counted(run: Run, S: float) -> bool:
    return bool(scored(run) and run.layers and S in run.layers["thresholds"])
