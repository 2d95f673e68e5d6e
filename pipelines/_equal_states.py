"""Whether the processes that train a run together have stayed equal."""

import hashlib
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from gradsurgery.core.learner import Learner
from gradsurgery.core.processes import several


def check_equal(learner: Learner) -> None:
    """Raises ValueError, in every process, where after an epoch one has another state than the first."""
    if not several():
        return
    digest = hashlib.sha256()
    _take(digest, {name: part for name, part in learner.state_dict().items() if name != "step_times"})
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, digest.hexdigest())
    if apart := [rank for rank, own in enumerate(found) if own != found[0]]:
        raise ValueError(
            f"all processes must be equal after epoch {len(learner.epochs)}, found rank {', '.join(map(str, apart))} "
            "apart from rank 0: are their devices of one kind?"
        )


def _take(digest: Any, value: Any) -> None:
    """Feeds all that a state holds, to the bit."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    if isinstance(value, np.ndarray):
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        for name, part in value.items():
            digest.update(repr(name).encode())
            _take(digest, part)
    elif isinstance(value, list | tuple):
        for part in value:
            _take(digest, part)
    else:
        digest.update(repr(value).encode())
