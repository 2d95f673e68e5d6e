"""docs/certificates.md: what was found of each method, from the records; nothing is computed here."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.certify.search import ALL

_LEAD = """\
<!-- Written by `python -m benchmarks.certificates` from benchmarks/results/certificates; edit that. -->

# Certificates

Which promises published implementations keep, as `gradsurgery certify` finds it: each property is searched for task
gradients J (K, P) that break it, and what is found is shrunk to the smallest. *Holds* means that no counter-example was
found among the J that were tried; *fails* comes with a J that anyone can paste; *no answer* means that the method hung,
or took longer than the limit, at the J that is shown; an empty cell that the property says nothing about the method.

A method that fails a property need not be wrong: most were never meant to have most of them. What a method claims is in
bold, all else is not claimed, and only a bold **fails** contradicts somebody: each of these is worked out by hand below
its table. Violations are shares of |d|, or of the mean length of the gradients where that is larger.

Your own method, a function of J or an aggregator of torchjd, is examined by either of

```console
$ gradsurgery certify my_pkg:fn --claims non_conflict,permutation --as mgda
$ pytest --surgery my_pkg:fn
```

A function declares its claims by `fn.claims = ("non_conflict", "permutation")`, or a mapping from names to tolerances
of its own, and the method that it computes by `fn.implements = "cagrad:c=0.4"`. One with a memory that a checkpoint is
to hold takes `(J, state, generator)` and returns `(d, state)`; a weighting of LibMTL becomes a function by
`gradsurgery.certify.libmtl.FromLibMTL(weighting, calpha=0.5)` ([a script](../examples/certify_your_own.py)). What
searches comes by `pip install 'gradsurgery[certify]'`. `--limit 30` (for pytest `--surgery-limit 30`) is the number of
seconds on the clock that each property may take; the method is called in a process of its own, which is killed then, on
every system.

The tables are made again by `python -m benchmarks.certificates ours torchjd`, and LibMTL's by the two lines that
`--help` of it has.
"""
_FAMILIES = {
    "ours": ("Ours", "Claims are what the docstrings and papers say (`certify/claims.py`)."),
    "torchjd": (
        "TorchJD",
        "Each class with its default arguments, or with those that it must be given: CAGrad(c=0.5), "
        "Constant(weights=[1, 2]), FairGrad(alpha=1), Krum(n_byzantine=1), NashMTL(n_tasks=2), "
        "TrimmedMean(trim_number=1); CAGrad(c=1) besides, as its tests have it. "
        "Claims are what its tests assert of each class, at the tolerances of those tests "
        "(`tests/unit/aggregation` of [its repository](https://github.com/SimplexLab/TorchJD), which the package "
        "leaves out; read at several commits up to 9090bb6). They assert it of matrices of their own, random ones"
        " of several ranks and scales; its docstrings state no property. What is claimed is tried on four times as"
        " many J. CRMOGM, MoDo and SDMGrad, weightings around others or of several batches, are left out. "
        "`dtype_kept`, `half` and `finite_scales` fail where float16 or bfloat16 is not supported on a CPU; "
        "`resume` where a new object refuses the `state_dict` of one that has taken a step, because its buffers "
        "are there only from then on. Constant was given weights in float64, and so takes no J in another dtype. "
        "MGDA stops after 100 iterations. CAGrad and NashMTL solve a convex program at every call, and were tried "
        "on 8 J instead of 30, for 45 s at most a property; what CAGrad fails by less than 1e-3 is the tolerance "
        "of its solver, and what DualProj and UPGrad fail `closed_form` by is `reg_eps` (below). NashMTL raises "
        "where all gradients are zero, which is most of its failures.",
    ),
    "libmtl": (
        "LibMTL",
        "The latest version on the package index; its repository has moved on since. It states no property "
        "(docstrings of `LibMTL/weighting`), so nothing here contradicts it. It computes in float32, with the "
        "tolerances of that. Fed are losses whose gradients are J. CAGrad has the number of tasks, 3, written "
        "into its solver, and is examined with three tasks; IMTL and MGDA take two or more. IMTL inverts a matrix"
        " that is singular where gradients are equal or zero (`torch.inverse`, line 33), which is all that most "
        "of its failures are; MGDA looks for a pair of tasks below 1e8 in squared length (`dmin`), and raises "
        "where there is none. `agrees_torchjd` is as much about torchjd's solver as about LibMTL's. GradVac's "
        "memory is a plain attribute, in no `state_dict`. GradDrop "
        "takes gradients of representations only, and DWA, GLS, GradNorm and UW go by the losses: they are left "
        "out.",
    ),
}
# What is said of claims that fail, worked out without the search: tests/certify/test_certificates.py does the sums.
BY_HAND = {
    ("DualProj", "non_conflict"): (
        "J = [[30], [-1]]. Zero is the projection of the mean 14.5 onto what conflicts with neither task: weights "
        "(1/2, 15). `reg_eps` = 1e-4 is added to the diagonal of J J^T / 901 first, and the second weight is then 15 "
        "/ (1 + 901e-4): d = 15 (1 - 1 / 1.0901) = 1.24, which raises the second loss. With "
        "`QuadprogProjector(norm_eps=0, reg_eps=1e-10)` |d| is 1e-6. Its tests assert the property of matrices that "
        "they draw."
    ),
    ("UPGrad", "non_conflict"): "the same J and the same `reg_eps`, for each of the two rows: d = 1.24 instead of 0.",
}
_CELLS = {"holds": "holds", "fails": "fails", "no answer": "no answer", "does not apply": ""}


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page; `records` is family -> what `benchmarks.certificates` wrote."""
    lines = [_LEAD, "| property | what it says |", "|---|---|"]
    lines += [f"| `{each.name}` | {each.says} |" for each in ALL]
    for family, record in records.items():
        lines += ["", *_family(*_FAMILIES[family], record)]
    return "\n".join(lines) + "\n"


def _family(title: str, about: str, record: Mapping[str, Any]) -> Sequence[str]:
    with_versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines = [f"## {title}", "", with_versions + ".", ""]
    if about:
        lines += [*textwrap.wrap(about, 120), ""]
    methods = record["methods"]
    broken = [f"{m['name']}: `{f['name']}`" for m in methods for f in m["findings"] if _broken(f)]
    lines += [*textwrap.wrap(f"Claimed, and broken: {', '.join(broken) or 'nothing'}.", 120), ""]
    checks = [(m["name"], f["name"]) for m in methods for f in m["findings"] if _broken(f)]
    lines += [line for check in checks for line in [*textwrap.wrap(_check(*check), 120, subsequent_indent="  "), ""]]
    lines += ["| property | " + " | ".join(m["name"] for m in methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for place, each in enumerate(ALL):
        lines.append(f"| `{each.name}` | " + " | ".join(_cell(m["findings"][place]) for m in methods) + " |")
    lines += ["", "<details><summary>Counter-examples, the largest violation seen, and the tolerance</summary>", ""]
    lines += ["| method | property | worst | tolerance | smallest J |", "|---|---|---|---|---|"]
    lines += [_counterexample(m["name"], f) for m in methods for f in m["findings"] if f["counterexample"]]
    return [*lines, "", "</details>"]


def _check(method: str, name: str) -> str:
    return f"- {method}, `{name}`: {BY_HAND[method, name]}"


def _broken(finding: Mapping[str, Any]) -> bool:
    return finding["claimed"] and finding["verdict"] == "fails"


def _cell(finding: Mapping[str, Any]) -> str:
    word = _CELLS[finding["verdict"]]
    return f"**{word}**" if finding["claimed"] and word else word


def _counterexample(method: str, finding: Mapping[str, Any]) -> str:
    note = finding["note"].replace("|", "\\|")
    J = f"`{finding['counterexample']}`" + (f" {note}" if note else "")
    worst = f"{finding['worst']:.0e}" if isinstance(finding["worst"], float) else finding["worst"] or "-"
    tolerance = f"{finding['tolerance']:.0e}" if finding["tolerance"] else "exact"
    return f"| {method} | `{finding['name']}` | {worst} | {tolerance} | {J} |"
