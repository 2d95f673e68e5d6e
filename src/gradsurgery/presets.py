"""The settings that papers, their authors' code and this project use, by one word: `build("cagrad", preset="paper")`.

A class default is one choice of several. What the paper prints, what the released code runs and what works on data
differ: SAM-GS's gamma by a factor of 9 between the landscapes and data, CAGrad's direction by a factor of K (1 + c^2).

    paper      the printed algorithm with the values of the printed experiments
    official   what the authors' released code computes with the values it ships
    data       what this project trains with on data (`methods` in params.yaml)
    toy        the authors' values for their landscape
    literal    SAM-GS only: Algorithm 1 to the letter, which does not reach the paper's own landscape result

A preset names every field, so that a default that changes changes no preset. Aggregators without published settings of
their own (`mean`, `sum`, `mgda`, `torchjd`, placebos) have none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradsurgery.core.discovery import build, did_you_mean, find


@dataclass(frozen=True)
class Preset:
    """Fields of one aggregator, and where each value comes from.

    Attributes:
        fields: every field of the aggregator, by name.
        source: paper section, code file at a commit, and section of the implementation specification.
    """

    fields: Mapping[str, Any]
    source: str


_PCGRAD = {"reduction": "sum", "order": "random", "include_self": False}
_CAGRAD = {"c": 0.5, "rescale": 1, "scale_by_num_tasks": True, "solver": "exact", "zero_task": "drop"}
_SAM_GS = {
    "gamma": 0.9, "beta1": 0.9, "beta2": 0.9, "eps": 1e-8, "similarity": "pairs_mean", "eps_in_denominator": False,
    "scale_by_num_tasks": True, "max_norm": 1.0,
}  # fmt: skip
_GCOND = {
    "thresholds": (-0.8, -0.5, 0.0), "remap_power": 2.0, "mode": "smooth", "tie_weights": (0.8, 0.2),
    "ema_beta": 0.95, "dominance_window": 0, "max_iters": 3, "norm_cap": None, "previous": "resolved", "beta": 0.9,
    "output": "momentum", "trust_coef": 1.0, "trust_clip": 50.0, "conflict_tol": 0.0, "buffers": "full", "eps": 1e-8,
}  # fmt: skip

_PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "pcgrad": {
        "paper": Preset(_PCGRAD, "arXiv 2001.06782, Algorithm 1 and App. H; it has no other setting. pcgrad.md 1.1"),
        "official": Preset(
            {**_PCGRAD, "order": "fixed", "include_self": True},
            "tianheyu927/PCGrad at c5fbd7c, PCGrad_tf.py lines 36 (the shuffle is thrown away) and 45. pcgrad.md 0, 2",
        ),
        "data": Preset(_PCGRAD, "line `pcgrad` of params.yaml: the paper's"),
    },
    "cagrad": {
        "paper": Preset(
            {**_CAGRAD, "c": 0.4, "rescale": 0, "scale_by_num_tasks": False},
            "arXiv 2110.14048, Algorithm 1; c = 0.4: NYUv2, section 5.2. cagrad.md 1.1, 1.7",
        ),
        "official": Preset(
            {**_CAGRAD, "c": 0.4, "solver": "official", "zero_task": "keep"},
            "Cranial-XIX/CAGrad at dc3d481, nyuv2/utils.py lines 377 to 401, 418 and 525, and c of its run.sh; needs "
            "scipy. cagrad.md 0, 1.3",
        ),
        "data": Preset(
            _CAGRAD,
            "line `cagrad-c0_5` of params.yaml: one of the c of the paper's Figure 4, scaled as the official code does",
        ),
        "toy": Preset(
            {**_CAGRAD, "rescale": 2, "scale_by_num_tasks": False},
            "Cranial-XIX/CAGrad at dc3d481, toy.py lines 299 to 327, solved exactly. cagrad.md 1.3, 1.7",
        ),
    },
    "sam_gs": {
        "paper": Preset(
            _SAM_GS,
            "arXiv 2506.06130, gamma and beta2 of CityScapes and NYUv2; the clip, which the paper does not print, is "
            "in all of its code. sam_gs.md 1.5 and its amendment",
        ),
        "official": Preset(
            {**_SAM_GS, "gamma": 0.7, "beta2": 0.99},
            "ThomBors/samgs at 7eee6a2, its configurations of CityScapes, NYUv2 and CelebA, and "
            "methods/weight_methods.py lines 863 to 939. sam_gs.md 1.3, 1.5",
        ),
        "data": Preset(
            _SAM_GS, "line `sam_gs` of params.yaml: the paper's for few tasks; for many, beta2 = 0.99. sam_gs.md 1.5"
        ),
        "toy": Preset(
            {**_SAM_GS, "gamma": 0.1, "beta2": 0.99},
            "ThomBors/samgs at 7eee6a2, its configuration of the landscape with one optimum. sam_gs.md 1.5, 3.1",
        ),
        "literal": Preset(
            {
                **_SAM_GS, "gamma": 0.1, "beta2": 0.99, "similarity": "full_mean", "eps_in_denominator": True,
                "scale_by_num_tasks": False, "max_norm": None,
            },
            "arXiv 2506.06130, Algorithm 1 as printed; never on data. sam_gs.md 1.1, 1.2, 2",
        ),
    },
    "gcond": {
        "paper": Preset(
            {**_GCOND, "previous": "raw"},
            "arXiv 2509.07252 (v2), equations 3 to 10 and Table 7; it takes AdamW with beta1 = 0. gcond.md 1.1, 1.4",
        ),
        "official": Preset(
            {
                **_GCOND, "dominance_window": 3, "max_iters": None, "beta": 0.85, "trust_coef": 1e-4,
                "trust_clip": 100.0, "buffers": "bfloat16",
            },
            "AlevLab-dev/GCond at 1b0518a, grad_conductor.py lines 63 to 87 and 180 to 202. gcond.md 1.1, 1.2",
        ),
        "data": Preset(
            {**_GCOND, "output": "raw"},
            "line `gcond` of params.yaml: the resolution alone, under the optimiser of all other methods. gcond.md 5",
        ),
    },
}  # fmt: skip


def available(method: str) -> list[str]:
    """Names of an aggregator's presets, `paper` first; none for one without. ValueError for an unknown aggregator.

    >>> available("cagrad")
    ['paper', 'official', 'data', 'toy']
    >>> available("mgda")
    []
    """
    find("aggregators", method)
    return list(_PRESETS.get(method, {}))


def of(method: str, preset: str) -> Preset:
    """One preset with its source. ValueError, naming the known ones, if there is none of that name.

    >>> of("sam_gs", "data").fields["gamma"] / of("sam_gs", "toy").fields["gamma"]
    9.0
    """
    known = available(method)
    if preset not in known:
        must = f"one of {', '.join(known)} for {method}" if known else f"left out for {method}, which has none"
        raise ValueError(f"`preset` must be {must}, found {preset!r}{did_you_mean(preset, known)}")
    return _PRESETS[method][preset]


def named(method: str, fields: Mapping[str, Any]) -> list[str]:
    """Names of the presets that an aggregator with these fields, and its defaults for the rest, is.

    >>> named("sam_gs", {"gamma": 0.9, "beta2": 0.9})
    ['paper', 'data']
    """
    built = build("aggregators", method, **fields)
    presets = _PRESETS.get(method, {})
    return [name for name, one in presets.items() if all(getattr(built, f) == v for f, v in one.fields.items())]
