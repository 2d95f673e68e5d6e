"""Certificates of our methods, torchjd's and LibMTL's, and docs/certificates.md, which shows them.

  python -m benchmarks.certificates                          writes the page from the recorded findings
  python -m benchmarks.certificates ours torchjd             examines these first; some ten minutes each
  python -m benchmarks.certificates libmtl --libmtl PATH     LibMTL from its unpacked wheel, whose folder this is
  python -m benchmarks.certificates ours --only mgda         one method again, and the others as they were recorded

LibMTL's wheel is unpacked by `pip download --no-deps LibMTL==1.1.5` and `python -m zipfile -e LibMTL-*.whl PATH`.
Findings go to benchmarks/results/certificates/<family>.json.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.certificates_page import page
from benchmarks.peers import libmtl_class
from gradsurgery import certify
from gradsurgery.certify import tables
from gradsurgery.certify.libmtl import FromLibMTL

EXAMPLES = 30  # J that each property is tried on
FEW = 8  # the same for what solves a convex program at every call
TIMES = 4  # as many again for what others claim
FAMILIES = ("ours", "torchjd", "libmtl")
RESULTS = Path(__file__).parent / "results" / "certificates"
PAGE = Path(__file__).parents[1] / "docs" / "certificates.md"

OURS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mean": ("mean", {}), "sum": ("sum", {}), "pcgrad": ("pcgrad", {}), "pcgrad fixed": ("pcgrad", {"order": "fixed"}),
    "cagrad": ("cagrad", {}), "cagrad c=2": ("cagrad", {"c": 2.0}),
    "cagrad official": ("cagrad", {"solver": "official"}), "mgda": ("mgda", {}), "sam_gs": ("sam_gs", {}),
    "gcond": ("gcond", {}), "placebo_positive": ("placebo_positive", {}), "placebo_random": ("placebo_random", {}),
}  # fmt: skip

# What torchjd's own tests assert of each class, with their tolerances where those are wider than ours:
# tests/unit/aggregation of its repository, `assert_expected_structure`, `assert_non_conflicting`,
# `assert_permutation_invariant`, `assert_linear_under_scaling`, `assert_stateless` and `assert_stateful`. MGDA, whose
# solver stops early, has the tolerance of its test of the optimality conditions.
_SAME, _LINEAR = {"permutation": 1e-4}, {"linear_scaling": 1e-4}
_STATELESS, _REPLAYED = {"memoryless": None}, {"replay": None}
TORCHJD: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {  # class: its arguments, ours for `subject`
    "AlignedMTL": ({}, {"claims": _SAME}),
    "CAGrad": ({"c": 0.5}, {"implements": "cagrad:c=0.5"}),
    "CAGrad c=1": ({"c": 1.0}, {"implements": "cagrad:c=1", "claims": {"non_conflict": 4e-4}}),
    "ConFIG": ({}, {"implements": "config", "claims": {**_SAME, **_LINEAR, **_STATELESS}}),
    "Constant": ({"weights": torch.tensor([1.0, 2.0], dtype=torch.float64)}, {"claims": _LINEAR, "tasks": (2, 2)}),
    "DualProj": ({}, {"implements": "dualproj", "claims": {"non_conflict": 1e-4, "permutation": None}}),
    "ExcessMTL": ({}, {}),
    "FairGrad": ({"alpha": 1.0}, {}),
    "GradDrop": ({}, {}),
    "GradVac": ({}, {}),
    "IMTLG": ({}, {"implements": "imtl_g", "claims": {**_SAME, **_STATELESS}}),
    "Krum": ({"n_byzantine": 1}, {"tasks": (4, 12)}),
    "MGDA": ({}, {"implements": "mgda", "claims": {"non_conflict": 1e-2, **_SAME, **_STATELESS}}),
    "Mean": ({}, {"implements": "mean", "claims": {**_SAME, **_LINEAR}}),
    "NashMTL": ({"n_tasks": 2}, {"implements": "nash_mtl", "tasks": (2, 2), "claims": _REPLAYED}),
    "PCD": ({}, {"claims": {"one_task": None}}),
    "PCGrad": ({}, {"implements": "pcgrad"}),
    "Random": ({}, {}),
    "Sum": ({}, {"implements": "sum", "claims": {**_SAME, **_LINEAR}}),
    "TrimmedMean": ({"trim_number": 1}, {"tasks": (3, 12), "claims": {**_SAME, **_STATELESS}}),
    "UPGrad": ({}, {"implements": "upgrad", "claims": {"non_conflict": 4e-4, "permutation": None,
                                                       "linear_scaling": 6e-2}}),
}  # fmt: skip
SLOW = ("CAGrad", "CAGrad c=1", "NashMTL")

LIBMTL: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "CAGrad": ({"calpha": 0.5, "rescale": 1}, {"implements": "cagrad:c=0.5", "tasks": (3, 3)}),
    "EW": ({}, {"implements": "sum"}),
    "GradVac": ({"beta": 0.5}, {}),
    "IMTL": ({}, {"implements": "imtl_g", "tasks": (2, 12)}),
    "MGDA": ({"mgda_gn": "none"}, {"implements": "mgda", "tasks": (2, 12)}),
    "PCGrad": ({}, {"implements": "pcgrad"}),
    "RLW": ({"dist": "Normal"}, {}),
}


def subject_of(family: str, name: str, libmtl: Path | None = None) -> certify.Subject:
    """One row of the table."""
    if family == "ours":
        method, fields = OURS[name]
        return certify.subject(method, name=name, fields=fields)
    if family == "torchjd":
        arguments, more = TORCHJD[name]
        made = getattr(importlib.import_module("torchjd.aggregation"), name.partition(" ")[0])(**arguments)
        return certify.subject(made, name=name, **{**more, "claims": {"shape": None, **more.get("claims", {})}})
    options, more = LIBMTL[name]
    made = FromLibMTL(libmtl_class(libmtl, name), **options)
    return certify.subject(made, name=name, dtype="float32", **more)


def versions(family: str) -> dict[str, str]:
    packages = {"ours": ["gradsurgery"], "torchjd": ["torchjd", "quadprog", "cvxpy"], "libmtl": []}[family]
    found = {package: version(package) for package in [*packages, "torch", "numpy", "hypothesis"]}
    return {"LibMTL": "1.1.5", **found} if family == "libmtl" else found


def examined(family: str, name: str, libmtl: Path | None, limit: float) -> dict[str, Any]:
    """The record of one method."""
    make = partial(subject_of, family, name, libmtl)
    examples = FEW if name in SLOW else EXAMPLES
    found = certify.certify_within(limit, make, examples=examples)
    others = [each.name for each in found if each.claimed and family != "ours"]
    sure = {each.name: each for each in certify.certify_within(limit, make, others, TIMES * examples)} if others else {}
    return {"name": name, "findings": tables.to_json([sure.get(each.name, each) for each in found])}


def record(family: str, only: str | None, libmtl: Path | None, limit: float) -> None:
    """Examines a family, or one of it, and writes what was found, method by method."""
    file = RESULTS / f"{family}.json"
    before = json.loads(file.read_text(encoding="utf-8"))["methods"] if file.exists() else []
    kept = {each["name"]: each for each in before}
    for name in {"ours": OURS, "torchjd": TORCHJD, "libmtl": LIBMTL}[family]:
        if only in (None, name):
            print(f"{family}: {name}", file=sys.stderr, flush=True)
            kept[name] = examined(family, name, libmtl, limit)
            methods = sorted(kept.values(), key=lambda each: str(each["name"]).lower())
            text = json.dumps({"versions": versions(family), "methods": methods}, indent=1)
            file.write_text(f"{text}\n", encoding="utf-8")


def written() -> str:
    """The page, from the records."""
    files = {name: RESULTS / f"{name}.json" for name in FAMILIES}
    return page({name: json.loads(f.read_text(encoding="utf-8")) for name, f in files.items() if f.exists()})


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.certificates", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--only", metavar="METHOD", help="one method of them")
    parser.add_argument("--libmtl", type=Path, metavar="PATH", help="folder of an unpacked LibMTL")
    parser.add_argument("--limit", type=float, default=300.0, metavar="S", help="for each property (default: 300)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for family in chosen.families:
        if family not in FAMILIES:
            parser.error(f"`FAMILY` must be one of {', '.join(FAMILIES)}, found {family!r}.")
        record(family, chosen.only, chosen.libmtl, chosen.limit)
    PAGE.write_text(written(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
