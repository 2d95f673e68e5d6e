"""What a run cost and on what: the part of its story that depends on the clock and the machine."""

import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from gradsurgery.core.learner import Learner
from pipelines._device import facts


def cost_of(learner: Learner, seconds: float) -> dict[str, float]:
    """What one seed cost. The peak is the process's, in MiB; of the GPU's memory where there is one."""
    cuda = learner.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(learner.device) / 2**20 if cuda else _peak()
    return {
        "seconds": round(seconds, 3),
        "step_ms": round(1000 * statistics.median(learner.step_times), 4) if learner.step_times else 0.0,
        "steps": learner.step_count,
        "backward_passes_per_step": learner.backward_passes,
        "peak_memory_mb": round(peak, 1),
    }


def _peak() -> float:
    """Of this process, in MiB."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource  # which Windows has not

    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def environment(device: str) -> dict[str, Any]:
    """What the clock's numbers depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.system(),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "threads": torch.get_num_threads(),
        **facts(device),
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1] for line in facts.read_text().splitlines() if line.startswith("model name")]
        if facts.exists()
        else []
    )
    return names[0].strip() if names else platform.processor() or platform.machine()
