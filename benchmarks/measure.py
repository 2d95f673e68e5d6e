"""Interleaved timing: every variant runs once per round, in a new random order, so that drift hits all alike."""

import gc
import os
import platform
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Steps = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Samples:
    """Milliseconds of one variant, one entry per round: CPU time of the whole process, and wall time."""

    cpu: list[float]
    wall: list[float]

    def over(self, other: "Samples") -> float:
        """Median over the rounds of this variant's CPU time as a multiple of `other`'s in the same round."""
        return median(a / b for a, b in zip(self.cpu, other.cpu, strict=True))


def interleave(
    steps: Steps, seconds: float, least: int = 3, most: int = 60, shortest_ms: float = 4.0
) -> dict[str, Samples]:
    """Times every step for about `seconds` in all, at least `least` rounds.

    A first round warms up and shows what a step costs; steps shorter than `shortest_ms` are repeated within a sample.
    """
    cost = {name: _cost(step) for name, step in steps.items()}
    repeats = {name: max(1, round(shortest_ms / cost[name])) for name in steps}
    round_ms = sum(repeats[name] * cost[name] for name in steps)
    rounds = max(least, min(most, round(1000 * seconds / round_ms)))
    samples: dict[str, Samples] = {name: Samples([], []) for name in steps}
    order, shuffle = list(steps), random.Random(0)
    gc.collect()
    gc.disable()  # a collection would land on whichever variant happens to be running
    try:
        for _ in range(rounds):
            shuffle.shuffle(order)
            for name in order:
                cpu, wall = _once(steps[name], repeats[name])
                samples[name].cpu.append(cpu)
                samples[name].wall.append(wall)
            gc.collect()
    finally:
        gc.enable()
    return samples


def _cost(step: Callable[[], object]) -> float:
    first = _once(step, 1)[1]
    return first if first > 100 else _once(step, 3)[1]  # a slow step's first call is no longer mostly warming up


def _once(step: Callable[[], object], repeats: int) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        step()
    return 1000 * (time.process_time() - cpu) / repeats, 1000 * (time.perf_counter() - wall) / repeats


def environment() -> dict[str, object]:
    """What a figure needs beside it to be compared with another: versions, processor, cores, threads, load."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": "cpu",
        "load_1min": round(
            os.getloadavg()[0], 2
        ),  # of the machine when measuring began: above 1 the figures are coarse
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def table(header: list[str], rows: list[list[str]]) -> str:
    """Plain columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    ruled = [header, ["-" * w for w in widths], *rows]
    return "\n".join(
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in ruled
    )
