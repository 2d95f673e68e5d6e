"""What each test example contributes to each metric: of this the noise of the test set is made, of one line or of two.

A metric is the mean of its contributions, over all examples or, the same again, over each of its *strata*: an accuracy
that of bits (right or wrong), an error that of every example's error, an area under the ROC curve that of DeLong's
components, over the positives and over the negatives.

Bits are kept of all examples. Of other numbers a sample is kept, at most `MOST` of each *cell*, the examples that share
a stratum in every metric, rounded to 8 bits between the smallest and the largest: an error of at most 1/510 of that
range. The sample depends on the labels alone, so that it is the same for every method and seed.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, Integer

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Metrics, Network, Problem
from gradsurgery.core.metrics import score

MOST = 2048  # so that two tasks on the same rows keep at most 4,096 examples of a stratum
_SEED = 20_211  # of the sample; any number does, as long as it stays
_LEVELS = 255


@dataclass(frozen=True, eq=False)
class Contributions:
    """Of one metric in one epoch, as a history holds them.

    Attributes:
        cells: of each its number of examples, how many of them are kept, and its stratum; they lie one after another.
        values: of the examples that are kept.
    """

    cells: tuple[tuple[int, int, int], ...]
    values: Bool[np.ndarray, " kept"] | Float32[np.ndarray, " kept"]

    @property
    def whole(self) -> bool:
        """Whether every example is kept."""
        return all(of == kept for of, kept, _ in self.cells)

    @property
    def mean(self) -> float:
        """Of the examples that are kept, every stratum counting alike."""
        strata = np.concatenate([np.full(kept, stratum) for _, kept, stratum in self.cells])
        return float(np.mean([self.values[strata == stratum].mean(dtype=float) for stratum in np.unique(strata)]))


class Examples:
    """Evaluates a run after every epoch, and keeps the contributions of two: the best on validation so far, the last.

    Args:
        problem: what judges the network.
        metrics: those that the run answers for.
    """

    def __init__(self, problem: Problem, metrics: Mapping[str, bool]) -> None:
        self._problem, self._metrics = problem, metrics
        self._best: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None
        self._score = -math.inf

    def evaluate(self, network: Network, epoch: int) -> Metrics:
        """`val.` and `test.` numbers of an epoch."""
        network.eval()
        with torch.no_grad():
            found = {split: self._problem.evaluate(network, split) for split in ("val", "test")}
        row = {f"{split}.{name}": value for split, own in found.items() for name, value in own.metrics.items()}
        packed = pack(found["test"], self._metrics)
        self._last = None if packed is None else {"epoch": epoch, "metrics": packed}
        if packed is not None and (reached := score(row, "val", self._metrics)) > self._score:
            self._best, self._score = self._last, reached
        return row

    def history(self) -> list[dict[str, Any]] | None:
        """The epochs that are kept, in order; None without data, and where the last one is not finite."""
        if self._best is None or self._last is None:
            return None
        return [self._best] if self._best is self._last else [self._best, self._last]

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "last": self._last, "score": self._score}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best, self._last, self._score = state["best"], state["last"], state["score"]
        if self._best == self._last:
            self._best = self._last


def pack(found: Evaluation, names: Mapping[str, bool]) -> dict[str, Any] | None:
    """The contributions to metrics as JSON; None where there are none, or one is not finite."""
    values = {name: found.examples[name] for name in names if name in found.examples}
    if not values or not all(np.isfinite(own).all() for own in values.values()):
        return None
    packed, cells = dict[str, Any](), list[tuple[np.ndarray, int]]()
    for name, own in values.items():
        if own.dtype == bool:
            packed[name] = {"cells": [[len(own), len(own), 0]], "bits": _text(np.packbits(own))}
            continue
        cells = cells or _cells(len(own), found.strata)
        strata = found.strata.get(name, np.zeros(len(own), np.int64))
        kept = own[np.concatenate([chosen for chosen, _ in cells])]
        low, high = float(kept.min()), float(kept.max())
        codes = np.rint((kept - low) * (_LEVELS / (high - low))) if high > low else np.zeros(len(kept))
        counts = [[of, len(chosen), int(strata[chosen[0]])] for chosen, of in cells]
        packed[name] = {"cells": counts, "low": low, "high": high, "bytes": _text(codes.astype(np.uint8))}
    return packed


def unpack(record: Mapping[str, Any]) -> Contributions:
    """What `pack` made of one metric. Raises ValueError for what it did not make."""
    cells = tuple((of, kept, stratum) for of, kept, stratum in record["cells"])
    count = sum(kept for _, kept, _ in cells)
    if "bits" in record:
        return Contributions(cells, np.unpackbits(_bytes(record["bits"], -(-count // 8)), count=count).astype(bool))
    low, high = record["low"], record["high"]
    codes = _bytes(record["bytes"], count).astype(np.float32)
    return Contributions(cells, (low + codes * ((high - low) / _LEVELS)).astype(np.float32))


def _cells(n: int, strata: Mapping[str, Integer[np.ndarray, " n"]]) -> list[tuple[Int64[np.ndarray, " kept"], int]]:
    """Of every cell the examples that are kept, and how many it has."""
    joint = np.zeros(n, np.int64)
    for own in strata.values():
        joint = joint * (int(own.max()) + 1) + own
    cells = []
    for cell in np.unique(joint):
        rows = np.flatnonzero(joint == cell)
        # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
        order = np.argsort(np.random.Philox(_SEED).random_raw(len(rows)), kind="stable")
        cells.append((rows[np.sort(order[:MOST])], len(rows)))
    return cells


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _bytes(text: str, count: int) -> np.ndarray:
    found = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if len(found) != count:
        raise ValueError(f"`examples` must hold {count} bytes for these cells, found {len(found)}.")
    return found
