"""State as `torch.load` takes it by default: tensors, numbers, texts, and lists, tuples and dictionaries of them."""

from typing import Any

import numpy as np
import torch

_ARRAY = "__numpy__"  # a dictionary with this one key stands for a numpy array, or for a numpy number


def to_plain(value: Any) -> Any:
    """A copy of `value` that shares no memory with it. Raises TypeError for what `torch.load` would refuse."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray | np.generic):
        return {_ARRAY: torch.from_numpy(np.array(value))}
    if isinstance(value, dict):
        return {key: to_plain(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(to_plain, value))
    if value is None or type(value) in (bool, int, float, str):
        return value
    known = "tensors, arrays, numbers, texts, None, and lists, tuples and dictionaries of them"
    raise TypeError(f"`state` must hold {known}, found {type(value).__name__}.")


def from_plain(value: Any, device: torch.device | None = None) -> Any:
    """What `to_plain` was given, once more as a copy; tensors on `device` (None: where they are), arrays as arrays."""
    if isinstance(value, torch.Tensor):
        return value.to(device or value.device, copy=True)
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            array = value[_ARRAY].cpu().numpy().copy()
            return array if array.ndim else array[()]
        return {key: from_plain(entry, device) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(from_plain(entry, device) for entry in value)
    return value.copy() if isinstance(value, np.ndarray) else value
