"""State as `torch.load` takes it by default: tensors, numbers, texts, and containers of them."""

import copy
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch

_ARRAY = "__numpy__"  # a dictionary with this one key stands for a numpy array, or for a numpy number
_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)


def to_plain(value: Any) -> Any:
    """A copy of `value` that shares no memory with it. Raises TypeError for what `torch.load` would refuse."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return {_ARRAY: torch.from_numpy(np.array(value))}
    if type(value) in (dict, OrderedDict, Counter):
        made = copy.copy(value)  # with what else it carries, as a module's `state_dict` does
        for key, entry in value.items():
            made[key] = to_plain(entry)
        return made
    if type(value) in (list, tuple, set):
        return type(value)(map(to_plain, value))
    if value is None or type(value) in _PLAIN:
        return value
    known = "tensors, arrays, numbers, texts, None, and lists, tuples, sets and dictionaries of them"
    raise TypeError(f"`state` must hold {known}, found {type(value).__name__}.")


def from_plain(value: Any, device: torch.device | None = None) -> Any:
    """What `to_plain` was given, once more as a copy; tensors on `device` (None: where they are), arrays as arrays."""
    if isinstance(value, torch.Tensor):
        return value.to(device or value.device, copy=True)
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            array = value[_ARRAY].cpu().numpy().copy()
            return array if array.ndim else array[()]
        made = copy.copy(value)
        for key, entry in value.items():
            made[key] = from_plain(entry, device)
        return made
    if type(value) in (list, tuple, set):
        return type(value)(from_plain(entry, device) for entry in value)
    return value.copy() if isinstance(value, np.ndarray) else value
