"""Where an experiment runs and in what precision: the settings, their override, and what is recorded of the choice.

`compute` in params.yaml says both for all experiments; GRADSURGERY_DEVICE says the device for one machine or process.
A rule that computes in numpy (`cpu_only`) runs on the CPU in the float64 it always has, whatever is asked for.
"""

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from gradsurgery.core.discovery import find
from gradsurgery.core.options import check_options
from gradsurgery.core.processes import several
from pipelines._blocks import fields

VARIABLE = "GRADSURGERY_DEVICE"
_KNOWN = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclasses.dataclass(frozen=True)
class Compute:
    """`device`: "auto" (a GPU at scale paper where there is one, else the CPU), "cpu", "cuda" or "cuda:<number>".

    `precision` is that of every experiment that does not say its own in `learner`.
    """

    device: str = "auto"
    precision: str = "float32"


def read_compute(block: Any) -> Compute:
    """The block `compute` of params.yaml. Raises ValueError."""
    found = Compute(**fields("compute", block, set(), {"device", "precision"}))
    _check("compute.device", found.device)
    try:
        check_options(precision=found.precision)
    except (ValueError, TypeError):  # an unhashable value
        raise ValueError(
            f"`compute.precision` must be one of float32, bfloat16, float16, found {found.precision!r}."
        ) from None
    return found


def with_precision(lines: Mapping[str, Any], compute: Compute) -> dict[str, Any]:
    """Experiments by name, with the precision of all written into those that say none and can have one."""
    if compute.precision == "float32":
        return dict(lines)
    found = {}
    for name, line in lines.items():
        learner = {"precision": compute.precision, **line.declaration.get("learner", {})}
        own = line.declaration if _cpu_only(line.declaration) else {**line.declaration, "learner": learner}
        found[name] = dataclasses.replace(line, declaration=own)
    return found


def asked_device(asked: str | None, compute: Compute, scale: str) -> str:
    """The device for what can run on any: `--device`, else GRADSURGERY_DEVICE, else params.yaml.

    Raises:
        ValueError: it is none, or this machine has no such device.
    """
    source, device = "compute.device", compute.device
    if told := os.environ.get(VARIABLE):
        source, device = VARIABLE, told
    if asked is not None:
        source, device = "--device", asked
    _check(source, device)
    if device == "auto":
        return "cuda" if scale == "paper" and torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(device.partition(":")[2] or 0) >= count:
            raise ValueError(
                f"`{source}` must be a device of this machine, which has {count or 'no'} CUDA "
                f"{'device' if count == 1 else 'devices'}, found {device!r}."
            )
    return device


def device_for(declaration: Mapping[str, Any], device: str) -> str:
    """Where one experiment runs when `device` was asked for."""
    return "cpu" if _cpu_only(declaration) else device


def name_of(device: str) -> str:
    """What results of a device are known by: "cpu", or the model of the GPU, whatever its number; of several processes
    that train together also how many."""
    own = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return f"{own} x {dist.get_world_size()}" if several() else own


def fingerprint_on(fingerprint: str, device: str) -> str:
    """A fingerprint for results of this device, which no other device takes for its own; the CPU's is the bare one."""
    name = name_of(device)
    return fingerprint if name == "cpu" else f"{fingerprint}@{name}"


def say_elsewhere(path: Path, found: str, fingerprint: str) -> None:
    """Warns if what lies in `path` differs from what was asked for in nothing but its device."""
    (run, _, there), (wanted, _, here) = found.partition("@"), fingerprint.partition("@")
    if run == wanted and there != here:
        print(
            f"warning: {path} was made on the device {there or 'cpu'}, and this is {here or 'cpu'}: it starts anew.",
            file=sys.stderr,
        )


def facts(device: str) -> dict[str, Any]:
    """What numbers and times depend on besides the processor: nothing more on the CPU."""
    if not device.startswith("cuda"):
        return {"device": name_of(device)}
    return {
        "device": name_of(device),
        "cuda": torch.version.cuda,
        "driver": _driver(),
        "tf32": f"matmul {_on(torch.backends.cuda.matmul.allow_tf32)}, cudnn {_on(torch.backends.cudnn.allow_tf32)}",
    }


def _check(source: str, device: Any) -> None:
    if not isinstance(device, str) or not _KNOWN.fullmatch(device):
        raise ValueError(f"`{source}` must be auto, cpu, cuda or cuda:<number>, found {device!r}.")


def _cpu_only(declaration: Mapping[str, Any]) -> bool:
    return bool(find("rules", declaration["rule"]["name"]).cpu_only)  # type: ignore[attr-defined]


def _on(switch: bool) -> str:
    return "on" if switch else "off"


def _driver(path: Path = Path("/proc/driver/nvidia/version")) -> str:
    found = re.search(r"Kernel Module\D*([\d.]+)", path.read_text()) if path.exists() else None
    return found[1] if found else "unknown"
