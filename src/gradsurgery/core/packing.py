"""State as `torch.load` reads it by default: tensors, numbers, text and containers, with numpy arrays as tensors."""

import copy
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch

_ARRAY = "numpy.ndarray"  # the one key of what an array becomes
_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)


def packed(state: Any) -> Any:
    """A snapshot: nothing in it is shared with `state`, every array is a tensor, every numpy number Python's.

    Args:
        state: tensors, numpy arrays and numbers, Python's numbers and text, in dictionaries, lists, tuples and sets.

    Raises:
        TypeError: for anything else, which `torch.save` would write and `torch.load` then refuse.
    """
    if isinstance(state, np.ndarray) and state.dtype != object:
        return {_ARRAY: torch.from_numpy(state.copy())}
    if isinstance(state, np.generic):
        return state.item()
    if state is None or type(state) in _PLAIN:
        return state
    return _each(state, packed)


def unpacked(state: Any) -> Any:
    """What `packed` was given. A copy too, so that one snapshot can be loaded any number of times.

    What was not packed, or only in parts, comes out as it is.
    """
    if isinstance(state, dict) and state.keys() == {_ARRAY}:
        return state[_ARRAY].numpy(force=True).copy()
    if isinstance(state, np.ndarray):
        return state.copy()
    if state is None or type(state) in _PLAIN:
        return state
    return _each(state, unpacked)


def _each(state: Any, change: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if type(state) in (dict, OrderedDict, Counter):
        made = copy.copy(state)  # with what else it carries, as a module's `state_dict` does
        for name, value in state.items():
            made[name] = change(value)
        return made
    if type(state) in (list, tuple, set):
        return type(state)(change(value) for value in state)
    raise TypeError(
        f"`state` must hold tensors, arrays, numbers, text and containers of them, found {type(state).__name__}."
    )
