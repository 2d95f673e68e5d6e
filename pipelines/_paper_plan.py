"""`make plan SCALE=paper`: what every experiment needs, what is missing here, and how long it takes on a named GPU.

Counts are those of `make paper-check` (reports/paper_check.jsonl), steps follow from the settings and data/sizes.yaml:
neither data nor GPU need be there. A step is reckoned to take

    loading + max(operations x LAUNCH_S, FLOP / FLOPS + bytes / BYTES)

as PyTorch starts one operation after another while the GPU works on those before; validation and test, after every
epoch, FLOP / FLOPS + bytes / BYTES of their rows. What computes in numpy is reckoned from another scale's runs, on one
core.
"""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gradsurgery.core.discovery import find
from pipelines import _missing, _paper, _sizes
from pipelines._look import told
from pipelines._params import Experiment, Params
from pipelines._plan import Plan
from pipelines._schedule import Schedule
from pipelines._workspace import checkout, prepared

# An NVIDIA H200 by its data sheet (67 TFLOP/s in float32 without TF32, 4.8 TB/s), of which kernels of everyday sizes
# attain about half, and the time that PyTorch takes to start an operation from Python.
GPU, FLOPS, BYTES, LAUNCH_S = "NVIDIA H200", 33e12, 2.4e12, 8e-6

_ROW = "  {:38} {:>4} {:>4} {:>5} {:>9} {:>10} {:>9} {:>8}"


@dataclasses.dataclass(frozen=True)
class Need:
    """What one line needs: steps of a run, runs that are not there, what is known of its cost, and hours of a run."""

    line: Experiment
    steps: int | None
    left: int
    found: Mapping[str, Any] | None
    hours: float | None


def tell_paper(params: Params, plan: Plan, schedule: Schedule, lines: Sequence[Experiment]) -> None:
    """Prints a block for every problem, and a total. No data are read, and none need be there."""
    found, needs = _paper.read(), list[Need]()
    sizes: dict[frozenset[str], float] = {}  # by data sets, as many problems are made of the same
    for name in dict.fromkeys(line.problem for line in lines):
        own = [_need(line, params, plan, schedule, found) for line in lines if line.problem == name]
        size = _sizes.gigabytes(_sizes.of(params.problems[name], params.datasets))
        print(f"{name}: {size:.2f} GB, {'; '.join([*_data(name, params), *_parameters(name, own)])}")
        print(_ROW.format("line", "runs", "left", "GiB", "steps", "operations", "GFLOP", "h each"))
        print("\n".join(map(_row, own)))
        needs += own
        sizes[frozenset(params.problems[name].sources)] = size
    hours, runs = sum(each.left * (each.hours or 0.0) for each in needs), sum(each.left for each in needs)
    size = sum(sizes.values())
    print(f"in all: {told(len(lines))}, {runs} runs to be trained, {size:.0f} GB, {hours:,.0f} hours of one {GPU}")
    if unknown := [each.line.name for each in needs if each.hours is None]:
        print(f"not reckoned, as `make paper-check` has no numbers: {told(len(unknown))}, such as {unknown[0]}")
    print(
        f"a step: loading + max(operations x {LAUNCH_S * 1e6:.0f} us, FLOP / {FLOPS / 1e12:.0f} TFLOP/s + bytes / "
        f"{BYTES / 1e12:.1f} TB/s), counted by `make paper-check`; GiB: the peak there, after > of a part of the batch"
    )
    print(f"here: {'; '.join(_here(params))}")


def _need(line: Experiment, params: Params, plan: Plan, schedule: Schedule, known: Mapping[str, Any]) -> Need:
    found, settings = _paper.of(line, known), _sizes.settled(line.declaration)
    steps = _steps(line, params, found)
    try:
        left = len(plan.missing(line))
    except ValueError:  # data that are not pinned and not here
        left = len(line.seeds)
    if find("rules", line.declaration["rule"]["name"]).cpu_only:  # type: ignore[attr-defined]
        seconds = schedule.seconds(line, line.seeds[0])
        return Need(line, steps, left, found, seconds / 3600 if seconds < float("inf") else None)
    if found is None or steps is None:
        return Need(line, steps, left, found, None)
    device = _device_s(found["gflop"], found["gigabytes"])
    step = found["loading"] + max(found["launches"] * LAUNCH_S, device)
    entry = _sizes.of(params.problems[line.problem], params.datasets) or {"rows": {}}
    rows = sum(settings.get(f"{split}_size") or entry["rows"].get(split, 0) for split in ("val", "test"))
    judged = rows / found["judged"]["rows"] * _device_s(found["judged"]["gflop"], found["judged"]["gigabytes"])
    return Need(line, steps, left, found, (steps * step + settings["epochs"] * judged) / 3600)


def _device_s(gflop: float, gigabytes: float) -> float:
    return gflop * 1e9 / FLOPS + gigabytes * 1e9 / BYTES


def _steps(line: Experiment, params: Params, found: Mapping[str, Any] | None) -> int | None:
    """Optimiser steps of a run; None where they hang on a rule that nothing is known of."""
    own, problem = _sizes.settled(line.declaration), params.problems[line.problem]
    if "landscape" in own:
        return int(own["steps"])
    if "episodes" in own:
        return int(own["epochs"] * own["episodes"] * own["horizon"] - own["warmup"]) // int(own["every"])
    if found is None:
        return None
    entry = _sizes.of(problem, params.datasets)
    there = problem.prepare["train_rows"] if entry is None else sum(entry["rows"][s] for s in _sizes.trained_on(own))
    rows = own.get("train_size") or there
    batches = own.get("steps") or own.get("passes", 1) * (rows // own["batch_size"])
    return round(own["epochs"] * batches * found["steps_a_batch"])


def _row(need: Need) -> str:
    found, line = need.found, need.line
    counted = ("?",) * 3
    if found is not None:
        memory = f"{'>' if _paper.cut(found) else ''}{found['memory_mb'] / 1024:.1f}"
        counted = memory, f"{found['launches']:,}", f"{found['gflop']:,.1f}"
    hours = "?" if need.hours is None else f"{need.hours:.2f}"
    steps = "?" if need.steps is None else f"{need.steps:,}"
    return _ROW.format(line.method, len(line.seeds), need.left, counted[0], steps, *counted[1:], hours)


def _data(name: str, params: Params) -> list[str]:
    """Where a problem's data come from, and whether they are here."""
    said = list[str]()
    for dataset in sorted(params.problems[name].sources):
        source = params.datasets[dataset]["sources"][0]
        where = next(source[key] for key in ("url", "path", "package", "function") if key in source)
        here = source["kind"] != "file" or (checkout(Path.cwd()) / where).exists()
        said.append(f"{dataset} from {where}{'' if here else ', which is missing'}")
    if not said:
        return ["drawn by itself"]
    return [*said, "prepared here" if prepared(checkout(Path.cwd()), name).is_dir() else "not prepared here"]


def _parameters(name: str, own: Sequence[Need]) -> list[str]:
    """Parameters of the plain sum's network, against those that are on record."""
    sums = [each.found for each in own if each.found and each.line.method in ("sum", "mean")]
    if not sums:
        return []
    found, known = sums[0], _sizes.sizes()["parameters"].get(name, {})
    counted = {"total": found["parameters"], "shared": found["shared"]}
    against = [
        f"{key} {'as' if counted[key] == known[key] else f'NOT the {known[key]:,} of'} {known['source']}"
        for key in counted.keys() & known.keys()
    ]
    return [f"{counted['total']:,} parameters, {counted['shared']:,} of them shared", *against]


def _here(params: Params) -> list[str]:
    """What this machine has of what scale paper needs."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = f"{count} x {torch.cuda.get_device_name(0)}" if count else "no GPU"
    absent = [f"{name} lacks {why[0]}" for name, why in _missing.uninstalled(params.datasets).items()]
    return [gpus, f"{shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB of disk free", *absent]
