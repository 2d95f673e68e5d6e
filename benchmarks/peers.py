"""The peers: TorchJD (installed with the extra `peers`) and LibMTL (never installed; loaded from an unpacked sdist).

LibMTL 1.1.5 depends on torchvision and its package imports torch_geometric, so its single modules are loaded with
empty packages in place of `LibMTL` and `LibMTL.weighting`. It is run as its own trainer runs it.
"""

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LIBMTL_ARGUMENTS: dict[str, dict[str, Any]] = {"PCGrad": {}, "CAGrad": {"calpha": 0.5, "rescale": 1}}
TORCHJD_ARGUMENTS: dict[str, dict[str, Any]] = {"PCGrad": {}, "CAGrad": {"c": 0.5}, "UPGrad": {}}


def torchjd_backward(
    name: str, shared: list[nn.Parameter], chunk: int | None, gramian: bool
) -> Callable[[Tensor, list[Tensor]], None]:
    """TorchJD's two calls. `chunk` 1 loops over tasks, None is its vmap; `gramian` skips the joint Jacobian."""
    from torchjd import aggregation, autojac

    aggregator = getattr(aggregation, name)(**TORCHJD_ARGUMENTS[name])

    def backward(features: Tensor, losses: list[Tensor]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # vmap's notes on operators without a batching rule
            autojac.mtl_backward(losses, features=features, parallel_chunk_size=chunk)
            autojac.jac_to_grad(shared, aggregator, optimize_gramian_computation=gramian)

    return backward


def torchjd_aggregator(name: str) -> Callable[[Tensor], Tensor]:
    from torchjd import aggregation

    aggregator: Callable[[Tensor], Tensor] = getattr(aggregation, name)(**TORCHJD_ARGUMENTS[name])
    return aggregator


def torchjd_missing() -> str | None:
    """Why TorchJD cannot be compared with, or None."""
    return None if importlib.util.find_spec("torchjd") else "TorchJD is not installed: pip install -e '.[peers]'"


def libmtl_missing(path: Path | None) -> str | None:
    """Why LibMTL cannot be compared with, or None."""
    if _libmtl_folder(path) is None:
        return (
            f"LibMTL is not {'under ' + str(path) if path else 'importable; unpack its sdist and pass --libmtl PATH'}"
        )
    return None


def libmtl_limit(name: str, tasks: int) -> str | None:
    """Why a method cannot run with so many tasks, or None: LibMTL's CAGrad has the number 3 written into the solver."""
    return "LibMTL 1.1.5's CAGrad runs with 3 tasks only" if name == "CAGrad" and tasks != 3 else None


def libmtl_backward(
    path: Path | None, name: str, shared: list[nn.Parameter], tasks: int
) -> Callable[[list[Tensor]], None]:
    """LibMTL's `backward(losses)`, with the attributes its trainer would set."""
    method = _libmtl_method(path, name, tasks)

    def zero() -> None:  # its code needs zeros, where newer torch would leave None
        for p in shared:
            assert p.grad is not None
            p.grad.zero_()

    method.get_share_params, method.zero_grad_share_params = lambda: shared, zero
    return lambda losses: method.backward(losses, **LIBMTL_ARGUMENTS[name])


def libmtl_aggregator(path: Path | None, name: str, J: Tensor) -> Callable[[], None]:
    """LibMTL's method from given task gradients to its new gradient; computing and writing back are left out."""
    method = _libmtl_method(path, name, J.shape[0])
    method._compute_grad_dim, method._compute_grad, method._reset_grad = (
        lambda: None,
        lambda losses, mode: J,
        lambda new: None,
    )
    losses = [None] * J.shape[0]
    return lambda: method.backward(losses, **LIBMTL_ARGUMENTS[name])


def libmtl_class(path: Path | None, name: str) -> type[Any]:
    """One of LibMTL's weightings, as it is; `path` is the folder of its unpacked sdist or wheel."""
    folder = _libmtl_folder(path)
    assert folder is not None
    for package, place in (("LibMTL", folder), ("LibMTL.weighting", folder / "weighting")):
        if package not in sys.modules:
            stub = types.ModuleType(package)
            stub.__path__ = [str(place)]
            sys.modules[package] = stub
    found: type[Any] = getattr(importlib.import_module(f"LibMTL.weighting.{name}"), name)
    return found


def _libmtl_method(path: Path | None, name: str, tasks: int) -> Any:
    method = libmtl_class(path, name)()
    method.task_num, method.device, method.rep_grad = tasks, torch.device("cpu"), False
    return method


def _libmtl_folder(path: Path | None) -> Path | None:
    if path is None:
        found = importlib.util.find_spec("LibMTL")
        places = [Path(p) for p in (found.submodule_search_locations or [])] if found else []
    else:
        places = [path, path / "LibMTL", *sorted(path.glob("*/LibMTL"))]
    return next((p for p in places if (p / "weighting" / "PCGrad.py").is_file()), None)
