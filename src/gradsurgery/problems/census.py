"""Census-Income (KDD): does a person earn more than 50,000 dollars, and was the person never married."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor, nn

from gradsurgery.core.discovery import make
from gradsurgery.core.extras import need
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import permutation
from gradsurgery.core.settings import check, check_seed
from gradsurgery.core.table import TableTraining, Tabular, binary_losses

DATA_CARD = """\
Census-Income (KDD), UCI Machine Learning Repository 2000, https://doi.org/10.24432/C5N30T: 199,523 + 99,762 people from
the US population surveys of 1994 and 1995. Inputs: 7 numbers, scaled to mean 0 and s.d. 1 on the training rows, and 32
categories; "?" (unknown) and "NA" are categories like any other. Left out are the two labels and the instance weight,
which the data's own description wants kept from classifiers. `official` splits: all 199,523 training rows, and the
official test rows cut in two halves, validation and test, as in the literature on MMoE. `paper_code`: the three sizes
of DRGrad's released code, from one seeded order of all rows; which rows its authors drew is not published. 26,754 of
the official test rows equal a training row in everything but the weight; that holds for every method alike."""

COLUMNS = (
    "age", "class_worker", "det_ind_code", "det_occ_code", "education", "wage_per_hour", "hs_college", "marital_stat",
    "major_ind_code", "major_occ_code", "race", "hisp_origin", "sex", "union_member", "unemp_reason",
    "full_or_part_emp", "capital_gains", "capital_losses", "stock_dividends", "tax_filer_stat", "region_prev_res",
    "state_prev_res", "det_hh_fam_stat", "det_hh_summ", "instance_weight", "mig_chg_msa", "mig_chg_reg",
    "mig_move_reg", "mig_same", "mig_prev_sunbelt", "num_emp", "fam_under_18", "country_father", "country_mother",
    "country_self", "citizenship", "own_or_self", "vet_question", "vet_benefits", "weeks_worked", "year", "income_50k",
)  # fmt: skip
CONTINUOUS = (
    "age", "wage_per_hour", "capital_gains", "capital_losses", "stock_dividends", "num_emp", "weeks_worked",
)  # fmt: skip
_LABELS = ("income_50k", "marital_stat")
NOMINAL = tuple(c for c in COLUMNS if c not in (*CONTINUOUS, *_LABELS, "instance_weight"))
_INCOME = {"- 50000.": 0, "50000+.": 1}
_PAPER_TEST, _PAPER_VAL = 70_000, 20_000


@dataclass(frozen=True, kw_only=True)
class _Training(TableTraining):
    """As for `TableTraining`.

    Args:
        beta2: of Adam.
    """

    batch_size: int = 1024
    beta2: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta2 < 1:
            raise ValueError(f"`beta2` must be at least 0 and less than 1, found beta2 = {self.beta2}.")

    def optimizer_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        betas = (0.9, self.beta2)
        return torch.optim.Adam(parameters, self.lr, betas, weight_decay=self.weight_decay, fused=True)


class Census(Tabular):
    """Two binary tasks, `income` (above 50,000 dollars: 6 in 100) and `never_married` (43 in 100); metric: exact AUC.

    Source: the data of the public comparisons in Liu et al. 2025 (DRGrad, arXiv 2510.09643) and Ma et al. 2018 (MMoE).
    `evaluate` also gives `<task>.auc_200`, the area at 200 thresholds that DRGrad's code prints; it is no metric of the
    comparison, because it reads up to 0.0014 too low on `income`, which is as much as the methods differ by.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields.
        training: data, rate and schedule, whose fields are settings beside the others.
        sizes: fields of the network that belong to the scale, not to the line, such as `width`; `network` goes first.
        income_weight: weight of the positives of `income` in the training loss.

    Departures:
        1. DRGrad's code compares integer-coded categories with text, so that five columns become constant, and takes
           "?" for the first category. Here every column is read as text, and "?" is a category; 0 is kept for values
           that no training row has.
        2. Its batches of 32 for 16 epochs with Adam (5e-4, beta2 0.9999), and positives of income weighted 3, are
           settings here, not defaults.
        3. Its second label is 1 for who was ever married. Both AUCs are the same.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training, sizes: dict | None = None,
        income_weight: float = 1.0,
    ):  # fmt: skip
        check({}, {"income_weight": income_weight})
        # Without data the number of categories is unknown, and no check of the network's other fields depends on it.
        cardinalities = tuple(arrays["cardinalities"].tolist()) if arrays else (1,) * len(NOMINAL)
        own = {"num_tasks": 2, "num_continuous": len(CONTINUOUS), "cardinalities": cardinalities}
        super().__init__(arrays, ("income", "never_married"), {**(sizes or {}), **network}, own, training)
        self._positive_weights = torch.tensor([income_weight, 1.0])

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        return binary_losses(network, batch, self._positive_weights)


@dataclass(frozen=True)
class _Preparation:
    """What `prepare` reads of params.yaml: the data set, and the seed of every draw."""

    split: Literal["official", "paper_code"]
    seed: int
    left: str | None = None  # names the data set for `fetch`; `prepare` takes the one that it is given
    right: str | None = None  # the same one, or left out

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.right not in (None, self.left):
            raise ValueError(f"`right` must be left out or left = {self.left!r}, found right = {self.right!r}.")


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Reads the two CSV files, encodes them and cuts the splits; see `DATA_CARD`.

    Args:
        raw: one data set, with `train` and `test`: the bytes of the two files as they are.
        settings: `split`, "official" or "paper_code", and `seed`.

    Returns:
        {train,val,test}_{continuous (N, 7) float32, nominal (N, 32) uint8, labels (N, 2) uint8}, and `cardinalities`
        (32,): one more than the categories of each nominal column, as 0 stands for a value unknown in training. All in
        random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    if len(raw) != 1:
        raise ValueError(f"`raw` must hold one data set, found {sorted(raw)}.")
    [source] = raw.values()
    tables = [_read(source[file]) for file in ("train", "test")]
    sizes = [len(labels) for _, _, labels in tables]
    places = _places(own.split, sizes, own.seed)

    continuous, labels = (np.concatenate([table[part] for table in tables]) for part in (0, 2))
    mean, sd = _moments(continuous[places["train"]])
    arrays = {}
    for split, rows in places.items():
        arrays[f"{split}_continuous"] = ((continuous[rows] - mean) / sd).astype(np.float32)
        arrays[f"{split}_labels"] = labels[rows]
    encoded: dict[str, list[np.ndarray]] = {split: [] for split in places}
    cardinalities = []
    for column in NOMINAL:
        numbers, size = _number([table[1][column] for table in tables], places["train"])
        if size > 256:
            raise ValueError(f"`raw` must have at most 255 categories in a column, found {size - 1} in {column}.")
        cardinalities.append(size)
        for split, rows in places.items():
            encoded[split].append(numbers[rows])
    for split, columns in encoded.items():
        arrays[f"{split}_nominal"] = np.stack(columns, axis=1).astype(np.uint8)
    return arrays | {"cardinalities": np.array(cardinalities, np.int64)}


_Column = tuple[list[str], Integer[np.ndarray, " _"]]  # categories in alphabetical order, and the place of each row's
_Table = tuple[Int64[np.ndarray, "N 7"], dict[str, _Column], UInt8[np.ndarray, "N 2"]]


def _read(file: UInt8[np.ndarray, " bytes"]) -> _Table:
    """Numbers, categories as text, and labels of one file: no header, and a blank after every comma."""
    need("repro", "pandas")
    import pandas as pd  # here: training reads arrays, and need not wait for it

    kinds = {column: "int64" if column in CONTINUOUS else "category" for column in COLUMNS}
    frame = pd.read_csv(
        io.BytesIO(file.tobytes()), header=None, names=COLUMNS, index_col=False, dtype=kinds, skipinitialspace=True,
        keep_default_na=False,  # or the category "NA" of hisp_origin would become a hole
    )  # fmt: skip
    if (lines := int((file == ord("\n")).sum())) != len(frame):
        raise ValueError(f"`raw` must have one row of {len(COLUMNS)} values per line, found {len(frame)} of {lines}.")
    incomes = frame["income_50k"].cat.categories
    if not set(incomes) <= set(_INCOME):
        raise ValueError(f"`raw` must label income with {', '.join(_INCOME)}, found {', '.join(incomes[:5])}.")
    labels = [
        np.array([_INCOME[name] for name in incomes])[frame["income_50k"].cat.codes],
        frame["marital_stat"].to_numpy(dtype=object) == "Never married",
    ]
    continuous = frame[list(CONTINUOUS)].to_numpy()
    # pandas makes numbers of categories that look like them; as text they are again what the file says.
    nominal = {c: ([str(n) for n in frame[c].cat.categories], frame[c].cat.codes.to_numpy()) for c in NOMINAL}
    return continuous, nominal, np.stack(labels, axis=1).astype(np.uint8)


def _number(files: list[_Column], train: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " N"], int]:
    """Numbers from 1 for the categories that training rows have, alphabetically; 0 for all others; how many in all."""
    names = sorted({name for categories, _ in files for name in categories})
    places = {name: place for place, name in enumerate(names)}
    merged = np.concatenate([np.array([places[name] for name in categories])[codes] for categories, codes in files])
    known = np.bincount(merged[train], minlength=len(names)) > 0
    return np.where(known, known.cumsum(), 0)[merged], int(known.sum()) + 1


def _places(split: str, sizes: list[int], seed: int) -> dict[str, Int64[np.ndarray, " n"]]:
    """Row numbers, the training file's before the test file's, of every split."""
    # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
    words = np.random.Philox(seed)
    train, test = sizes
    if split == "official":
        halves = train + permutation(words, test)
        return {"train": permutation(words, train), "val": halves[: test // 2], "test": halves[test // 2 :]}
    order = permutation(words, train + test)
    held_out = _PAPER_TEST + _PAPER_VAL
    if len(order) <= held_out:
        raise ValueError(f"`split` 'paper_code' must have more than {held_out} rows, found {len(order)}.")
    return {"train": order[held_out:], "val": order[_PAPER_TEST:held_out], "test": order[:_PAPER_TEST]}


def _moments(values: Int64[np.ndarray, "N 7"]) -> tuple[Float[np.ndarray, " 7"], Float[np.ndarray, " 7"]]:
    """Mean and s.d. of each column from sums of whole numbers, which are the same on every machine."""
    n = len(values)
    sums, squares = values.sum(axis=0).tolist(), (values**2).sum(axis=0).tolist()
    variances = [(n * q - s * s) / n**2 for s, q in zip(sums, squares, strict=True)]
    return np.array([s / n for s in sums]), np.sqrt([v or 1.0 for v in variances])
