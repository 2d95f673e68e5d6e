"""State there and back through `torch.save` and the default `torch.load`: nothing shared, no kind lost."""

import io
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery.core.plain import from_plain, to_plain


def through_a_file(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream)


def equal(a, b):
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
    return type(a) is type(b) and a == b


STATE = {
    "number": 1.5, "large": 2**130,
    "numpy": [np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True)],
    "nothing": None, "flag": True, "text": "a", 3: {"nested": [(1, 2.0), ()]},
    "weights": torch.arange(24.0).reshape(2, 3, 2, 2).contiguous(memory_format=torch.channels_last),
    "arrays": [np.arange(6.0).reshape(2, 3)[:, ::-1], np.zeros((0, 2), bool), np.zeros(2, np.float32)],
    "ordered": OrderedDict(b=1, a=2), "milestones": Counter([2, 2]), "seen": {1, 2},
    "generator": np.random.Generator(np.random.Philox(2**70)).bit_generator.state,
    "other generator": np.random.default_rng(0).bit_generator.state,
}  # fmt: skip


def test_every_kind_comes_back_as_it_was():
    assert equal(from_plain(through_a_file(to_plain(STATE))), STATE)


def test_packing_again_and_unpacking_again_change_nothing():
    """So that a part that packs its own state may lie inside one that packs all."""
    once = to_plain(STATE)
    assert equal(to_plain(once), once)
    assert equal(from_plain(from_plain(once)), STATE)


@pytest.mark.parametrize("change", [to_plain, from_plain])
def test_nothing_is_shared(change):
    state = {"array": np.zeros(2), "tensor": torch.zeros(2), "list": [0], "dictionary": {"a": [0]}}
    before = through_a_file(to_plain(state))
    copied = change(state)
    state["array"] += 1
    state["tensor"] += 1
    state["list"].append(1)
    state["dictionary"]["a"].append(1)
    assert equal(to_plain(copied), before)


def test_a_modules_state_keeps_its_versions():
    state = nn.BatchNorm1d(2).state_dict()
    assert through_a_file(to_plain(state))._metadata == state._metadata
    assert to_plain(state)["weight"].data_ptr() != state["weight"].data_ptr()


@pytest.mark.parametrize("value", [object(), defaultdict(list), np.array([None]), lambda: 0, range(3)])
def test_what_torch_would_not_load_is_refused(value):
    with pytest.raises(TypeError, match=f"`state` must hold tensors, .* found {type(value).__name__}"):
        to_plain({"deep": [value]})
