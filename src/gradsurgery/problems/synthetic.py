"""Made-up tables with two binary tasks: DRGrad's, MMoE's, whose tasks agree as much as one wants, and one of users."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int64, Real

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.extras import need
from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_seed
from gradsurgery.core.table import TableTraining, Tabular

DATA_CARD = """\
`drgrad` (Liu et al. 2025, arXiv 2510.09643, section on synthetic data): six skewed values x_i per row, of which a sum
of 4 x^2 / |x^2|, 5 e^(x / |x|) and 6 sin x makes the first label; the second is cos(theta) times the first, plus noise.
The noise is negligible, so the second task is the first (cos(theta) > 0) or its negation (cos(theta) < 0), whatever
the size of cos(theta): a flip that a tower's last layer absorbs. The values are cut into 1,000 equal shares of the
training rows and given as categories; 26 standard normal columns say nothing. `mmoe` (Ma et al. 2018, section 3.2): 100
standard normal columns, and labels from two directions with cosine p, through a sum of sines. `users` (ours, for what
DRGrad's gate PPNet does; no paper has it): 40 standard normal columns in 8 groups and one of 200 users, who weighs the
groups by a taste of her own, uniform in (0, 2); labels are the weighted sums along two directions with cosine p. In all
three a row is positive where its label exceeds the median of the training rows, and the realised correlation of the
labels is part of the data."""

_SPARSE, _DENSE, _BUCKETS = 6, 26, 1000
_NOISE_MEAN, _NOISE_VARIANCE = 0.01, 0.002
_DECIMALS = 4  # of inputs: what is made is then the same where sines and exponentials differ in the last bit
_SINES = 10
_USERS, _GROUPS = 200, 8


@dataclass(frozen=True, kw_only=True)
class _Training(TableTraining):
    """As for `TableTraining`."""

    batch_size: int = 512


class Synthetic(Tabular):
    """Two binary tasks, `first` and `second`; metric: exact AUC.

    `evaluate` also gives `<task>.auc_200`, and `labels.correlation` and `labels.sign_correlation`, of the labels before
    and after they are cut at the median: the same in every row, so that each history says what its tasks had in common.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields.
        training: data, rate and schedule, whose fields are settings beside the others.
        sizes: fields of the network that belong to the scale, not to the line, such as `width`; `network` goes first.

    Departures:
        1. DRGrad's appendix is not public. Our choices: i = 1..6, `randint` with both ends, new draws for either term,
           lengths over a row's six values, the sum of their terms, 26 uninformative columns, buckets as categories (a
           network on bare x cannot follow sin x), labels cut at the median, 10,000 more rows for validation.
        2. MMoE's labels are real numbers. Cut at the median, both sets have the same metric. alpha_j and beta_j are
           standard normal, m = 10, d = 100, c = 1, as public re-implementations have them.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training, sizes: dict | None = None):
        # Without data it is unknown which of the sets it will be; no check of the network's other fields depends on it.
        cardinalities = tuple(arrays["cardinalities"].tolist()) if arrays else (1,) * _SPARSE
        continuous = arrays["train_continuous"].shape[1] if arrays else _DENSE
        own = {"num_tasks": 2, "num_continuous": continuous, "cardinalities": cardinalities}
        super().__init__(arrays, ("first", "second"), {**(sizes or {}), **network}, own, training)
        self._correlations = arrays["correlations"].tolist() if arrays else [0.0, 0.0]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """AUCs and mean losses, and the correlations of the training labels."""
        found = super().evaluate(network, split)
        names = ("labels.correlation", "labels.sign_correlation")
        return replace(found, metrics=found.metrics | dict(zip(names, self._correlations, strict=True)))


@dataclass(frozen=True)
class _Preparation:
    """What `prepare` reads of params.yaml; see there."""

    set: Literal["drgrad", "mmoe", "users"]
    cosine: float
    seed: int
    train_rows: int
    held_out_rows: int

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not -1.0 <= self.cosine <= 1.0 or (self.cosine == 0.0 and self.set == "drgrad"):
            raise ValueError(f"`cosine` must be in [-1, 1], and not 0 for 'drgrad', found cosine = {self.cosine}.")
        for name, rows in (("train_rows", self.train_rows), ("held_out_rows", self.held_out_rows)):
            if rows < 2:
                raise ValueError(f"`{name}` must be at least 2, found {name} = {rows}.")


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Makes one of the three sets; see `DATA_CARD`.

    Args:
        raw: not looked at.
        settings: `set`, "drgrad", "mmoe" or "users"; `cosine`, cos(theta) or p; `seed`; `train_rows`, and
            `held_out_rows` for each of validation and test.

    Returns:
        {train,val,test}_{continuous, nominal, labels}, `cardinalities`, and `correlations` (2,): of the training labels
        before and after the cut.
    """
    tables = {"drgrad": drgrad_table, "mmoe": mmoe_table, "users": users_table}
    own: _Preparation = make(_Preparation, "prepare", settings)
    train, held_out = own.train_rows, own.held_out_rows
    n = train + 2 * held_out
    # Words of the bit generator instead of numpy's distributions: only the former are promised never to change.
    words = np.random.Philox(own.seed)
    continuous, sparse, values = tables[own.set](words, n, own.cosine)
    labels = values > np.sort(values[:train], axis=0)[train // 2 - 1]
    nominal = sparse if own.set == "users" else _bucketed(sparse, train)
    cardinality = _USERS if own.set == "users" else _BUCKETS
    arrays = {"cardinalities": np.full(sparse.shape[1], cardinality, np.int64)}
    for split, begin, end in (
        ("train", 0, train), ("val", train, train + held_out), ("test", train + held_out, n),
    ):  # fmt: skip
        arrays[f"{split}_continuous"] = continuous[begin:end].astype(np.float32)
        arrays[f"{split}_nominal"] = nominal[begin:end].astype(np.uint16)
        arrays[f"{split}_labels"] = labels[begin:end].astype(np.uint8)
    pairs = (values[:train], labels[:train].astype(float))
    return arrays | {"correlations": np.array([np.corrcoef(pair.T)[0, 1] for pair in pairs]).round(_DECIMALS)}


_Table = tuple[Float[np.ndarray, "n dense"], Real[np.ndarray, "n sparse"], Float[np.ndarray, "n 2"]]


def drgrad_table(words: np.random.Philox, n: int, cosine: float) -> _Table:
    """Uninformative columns, the six values, and the two labels before they are cut."""
    x = np.empty((n, _SPARSE))
    for column in range(_SPARSE):
        i = column + 1
        u, v = _uniform(words, n), _uniform(words, n)
        a, b = (_integers(words, n, i + 2) for _ in range(2))
        x[:, column] = np.exp(u * a) + v * b ** (i / 2 + 1)
    x = x.round(_DECIMALS)
    squares = x**2
    terms = 4 * squares / _length(squares) + 5 * np.exp(x / _length(x)) + 6 * np.sin(x)
    first, second = (_NOISE_MEAN + math.sqrt(_NOISE_VARIANCE) * _normal(words, n) for _ in range(2))
    y = 10 * (terms.sum(axis=1) + first)
    return _normal(words, n * _DENSE).reshape(n, _DENSE).round(_DECIMALS), x, np.stack([y, cosine * y + second], axis=1)


def mmoe_table(words: np.random.Philox, n: int, cosine: float, d: int = 100) -> _Table:
    """Normal columns, no categories, and the two labels before they are cut."""
    W = directions(words, d, cosine)
    alpha, beta = _normal(words, _SINES), _normal(words, _SINES)
    x = _normal(words, n * d).reshape(n, d).round(_DECIMALS)
    projections = np.stack([(x * w).sum(axis=1) for w in W], axis=1)
    y = projections + np.sin(projections[:, :, None] * alpha + beta).sum(axis=2)
    return x, np.empty((n, 0)), y + 0.1 * _normal(words, 2 * n).reshape(n, 2)


def users_table(words: np.random.Philox, n: int, cosine: float, d: int = 40) -> _Table:
    """Normal columns, who the user is, and the two labels before they are cut."""
    W = directions(words, d, cosine)
    tastes = 2.0 * _uniform(words, _USERS * _GROUPS).reshape(_USERS, _GROUPS)
    users = _integers(words, n, _USERS) - 1
    x = _normal(words, n * d).reshape(n, d).round(_DECIMALS)
    parts = [(x * w).reshape(n, _GROUPS, d // _GROUPS).sum(axis=2) for w in W]
    y = np.stack([(part * tastes[users]).sum(axis=1) for part in parts], axis=1)
    return x, users[:, None], y + 0.1 * _normal(words, 2 * n).reshape(n, 2)


def _bucketed(sparse: Float[np.ndarray, "n sparse"], train: int) -> Int64[np.ndarray, "n sparse"]:
    """The place of each value among the training rows', in equal shares of them."""
    edges = np.sort(sparse[:train], axis=0)[np.arange(1, _BUCKETS) * train // _BUCKETS]
    places = np.zeros(sparse.shape, np.int64)
    for column in range(sparse.shape[1]):
        places[:, column] = np.searchsorted(edges[:, column], sparse[:, column], side="right")
    return places


def directions(words: np.random.Philox, d: int, cosine: float) -> Float[np.ndarray, "2 d"]:
    """Two unit vectors with this cosine."""
    u, v = _normal(words, 2 * d).reshape(2, d)
    u /= np.sqrt((u * u).sum())
    v -= (u * v).sum() * u
    v /= np.sqrt((v * v).sum())
    return np.stack([u, cosine * u + math.sqrt(1.0 - cosine**2) * v])


def _length(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n 1"]:
    return np.sqrt((x * x).sum(axis=1, keepdims=True))


def _uniform(words: np.random.Philox, n: int) -> Float[np.ndarray, " n"]:
    """In (0, 1), the ends left out."""
    return ((words.random_raw(n) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _integers(words: np.random.Philox, n: int, high: int) -> Int64[np.ndarray, " n"]:
    """1..high, both included."""
    return 1 + (_uniform(words, n) * high).astype(np.int64)


def _normal(words: np.random.Philox, n: int) -> Float[np.ndarray, " n"]:
    need("repro", "scipy")
    from scipy.special import ndtri  # here: only `prepare` needs it

    return ndtri(_uniform(words, n))
