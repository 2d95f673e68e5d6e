"""A device made in Python: it computes real numbers and refuses what a GPU refuses.

Its tensors hold a CPU tensor each and hand every operation to it, so that results are those of the CPU's kernels. What
tells it from the CPU is what tells a GPU from it: a CPU tensor among the arguments is an error unless it has no
dimensions, numpy cannot look inside, a CPU generator does not draw there, and every look at a value from Python waits
for the device. Those looks are counted, at the place in the source that asked.

`set_up` changes torch for the rest of the process: only for a process of its own.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
_SOURCE = str(Path(__file__).parents[2] / "src")
_aten = torch.ops.aten
# Operations whose outcome Python, or the shape of the result, waits for: as torch's CUDA kernels do.
_WAITS = {
    _aten._local_scalar_dense.default, _aten.is_nonzero.default, _aten.equal.default, _aten.nonzero.default,
    _aten.masked_select.default, _aten._linalg_check_errors.default, _aten._unique2.default,
    _aten.unique_dim.default, _aten.repeat_interleave.Tensor,
}  # fmt: skip
_library: list[torch.library.Library] = []  # torch forgets a library's kernels when it is collected

reads: Counter[str] = Counter()  # looks of the host at the device, by "file:line" of the source
uploads: Counter[str] = Counter()  # copies the other way


class PretendTensor(torch.Tensor):
    """A tensor on the device; `inner` is the CPU tensor behind it, of the same shape and strides."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "PretendTensor":
        made: PretendTensor = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=torch.device(NAME, 0),
        )  # fmt: skip
        made.inner = inner
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"PretendTensor({self.inner!r})"

    def tolist(self) -> Any:
        """torch refuses it for every subclass."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is _aten.copy_.default:
            return _copy(*args)
        target = kwargs.get("device")
        if func is _aten._to_copy.default and target is not None and torch.device(target).type == "cpu":
            reads[_caller()] += 1
            return func(args[0].inner, **kwargs)
        _refuse(func, args, kwargs)
        if func in _WAITS or (func in (_aten.index.Tensor, _aten.index_put_.default) and _has_mask(args[1])):
            reads[_caller()] += 1
        inside = {name: value for name, value in kwargs.items() if name != "device"}
        if "device" in kwargs:
            inside["device"] = "cpu" if target is None or torch.device(target).type == NAME else target
        out = func(*tree_map_only(PretendTensor, _inner, args), **tree_map_only(PretendTensor, _inner, inside))
        on_device = inside.get("device", "cpu") == "cpu"
        out = tree_map_only(torch.Tensor, PretendTensor, out) if on_device else out
        return return_and_correct_aliasing(func, args, kwargs, out)


def set_up() -> torch.device:
    """Makes the device known to torch under the name "pretend"."""
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty.memory_format", _empty, "PrivateUse1")
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    _library.append(library)
    return torch.device(NAME, 0)


def _empty(size: Any, dtype: Any = None, *others: Any, memory_format: Any = None, **options: Any) -> PretendTensor:
    layout = memory_format or torch.contiguous_format
    return PretendTensor(torch.empty(size, dtype=dtype, device="cpu", memory_format=layout))


def _empty_strided(size: Any, stride: Any, dtype: Any = None, *others: Any, **options: Any) -> PretendTensor:
    return PretendTensor(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """What `torch.tensor(values, device=...)` ends in, which bypasses `__torch_dispatch__`."""
    return _copy(target, source)


def _inner(tensor: PretendTensor) -> torch.Tensor:
    return tensor.inner


def _copy(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    here, there = isinstance(target, PretendTensor), isinstance(source, PretendTensor)
    if there and not here:
        reads[_caller()] += 1
    if here and not there:
        uploads[_caller()] += 1
    (target.inner if here else target).copy_(source.inner if there else source)
    return target


def _refuse(func: Any, args: Any, kwargs: Any) -> None:
    for value in (*args, *kwargs.values()):
        for entry in tree_flatten(value)[0]:
            if isinstance(entry, torch.Generator) and entry.device.type == "cpu":
                raise RuntimeError(f"{func}: expected a '{NAME}' device type for generator but found 'cpu'")
            if (
                isinstance(entry, torch.Tensor)
                and not isinstance(entry, PretendTensor)
                and not (entry is value and entry.dim() == 0)
            ):
                raise RuntimeError(
                    f"{func}: expected all tensors to be on the same device, but found at least two devices, "
                    f"{NAME}:0 and {entry.device}!"
                )  # fmt: skip


def _has_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _caller() -> str:
    """The innermost line of the package's own source on the stack; of whatever is innermost where there is none."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_SOURCE):
            return f"{path[len(_SOURCE) + len('/gradsurgery/') :]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"
