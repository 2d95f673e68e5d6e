"""How many experiments run at once, and where: one per core, or a stated number on every GPU."""

import os
from collections.abc import Mapping

import torch

from pipelines._jobs import jobs, whole

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus() -> list[str]:
    """The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them. CUDA is not started in this process."""
    if (given := os.environ.get(_VISIBLE)) is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(torch.cuda.device_count())]


def places(device: str, asked: str | None, per_gpu: str | None) -> list[Mapping[str, str]]:
    """What the environment of every worker says: nothing on a CPU, its GPU by turns otherwise.

    Args:
        device: "cpu", "cuda" for all GPUs, or "cuda:1" for one of them.
        asked: `--jobs`; on GPUs at most as many as have a place there.
        per_gpu: `--per-gpu`, by default 1.

    Raises:
        ValueError: what is no number of processes, or more than there are places; no GPU.
    """
    if not device.startswith("cuda"):
        if per_gpu is not None:
            raise ValueError(f"`--per-gpu` must stand with GRADSURGERY_DEVICE=cuda, found the device {device!r}.")
        return [{}] * jobs(asked)
    own = gpus()
    number = device.partition(":")[2]
    chosen = [gpu for place, gpu in enumerate(own) if number in ("", str(place))]
    if not chosen:
        raise ValueError(f"`GRADSURGERY_DEVICE` must be cpu or one of {len(own)} GPUs, found {device!r}.")
    each = 1 if per_gpu is None else whole("--per-gpu", per_gpu)
    there = len(chosen) * each
    count = jobs(asked, there)
    if count > there:
        raise ValueError(f"`--jobs` must be at most {there} ({each} on each of {len(chosen)} GPUs), found {count}.")
    return [{_VISIBLE: chosen[i % len(chosen)], "GRADSURGERY_DEVICE": "cuda"} for i in range(count)]
