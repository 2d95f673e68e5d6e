"""What the engine is handed, as people hand it: parameters and losses in any usual container, checked one by one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WRAPPERS = {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"}
_SHARDS = ("DTensor", "FlatParameter")  # by name, as they: importing FSDP only to ask would take seconds


def parameters_of(name: str, given: Any) -> list[Any]:
    """The parameters in `given`, each once: an iterable of them, of (name, parameter) or of optimiser groups."""
    if isinstance(given, nn.Module):
        raise TypeError(f"`{name}` must be parameters, found the module {type(given).__name__}.")
    if isinstance(given, Tensor):
        raise TypeError(f"`{name}` must be several parameters or a list of one, found one {type(given).__name__}.")
    return list(dict.fromkeys(_each(name, given)))


def trainable(name: str, parameters: Iterable[Any]) -> list[Any]:
    """Those that are not frozen. Raises TypeError for one whose gradient has no place in a dense, real J."""
    found = [p for p in parameters if p.requires_grad]
    for p in found:
        kinds = {c.__name__ for c in type(p).__mro__}
        if nn.parameter.is_lazy(p):
            raise TypeError(f"`{name}` must have a shape, found {type(p).__name__}: run the network once before.")
        if not kinds.isdisjoint(_SHARDS) or "_fsdp_flattened" in vars(p):
            raise TypeError(
                f"`{name}` must be whole parameters, found {type(p).__name__}: inner products of shards are not G."
            )
        if not p.is_leaf or p.layout != torch.strided or p.dtype not in FLOATS:
            how = f"{type(p).__name__} ({p.dtype}, {p.layout}{'' if p.is_leaf else ', computed from others'})"
            raise TypeError(f"`{name}` must be real, dense parameters of 16 to 64 bits, found {how}.")
    return found


def check_bare(network: nn.Module) -> None:
    """Raises TypeError for a network that is wrapped, or is so in part."""
    for name, module in network.named_modules():
        if wrapper := {kind.__name__ for kind in type(module).__mro__} & _WRAPPERS:
            found = f"{wrapper.pop()} as its `{name}`" if name else wrapper.pop()
            raise TypeError(
                f"`network` must not be wrapped, found {found}: gradient surgery averages the task gradients over "
                "processes itself, and wrappers average what comes after it. Pass the bare network."
            )


def check_state(state: Mapping[str, Any], method: str, more: Sequence[str] = ()) -> None:
    """Refuses what an engine with this method did not write: part of a state, or that of another method."""
    if missing := [name for name in ("of", "method", "generator", "skipped_steps", *more) if name not in state]:
        raise ValueError(f"`state` must be all of a `state_dict`, found no {', '.join(missing)} in it.")
    if state["of"] != method:
        raise ValueError(f"`state` must be that of the method {method}, found that of {state['of']}.")


def losses_of(given: Any) -> tuple[list[Any] | None, list[Tensor | None]]:
    """The task losses, and their keys where they come in a mapping; not in any other iterable or in a tensor (K,)."""
    names: list[Any] | None = None
    if type(given) is list:
        losses = given
    elif isinstance(given, Mapping):
        names, losses = list(given), list(given.values())
    elif (
        isinstance(given, Iterable)
        and not isinstance(given, str | bytes)
        and (not isinstance(given, Tensor) or given.ndim == 1)
    ):
        losses = list(given.unbind() if isinstance(given, Tensor) else given)
    else:
        found = f"one tensor of shape {tuple(given.shape)}" if isinstance(given, Tensor) else repr(given)
        raise TypeError(f"`losses` must be a list, dictionary or 1-D tensor of one loss per task, found {found}.")
    for k, loss in enumerate(losses):
        if loss is None or (
            isinstance(loss, Tensor) and loss.requires_grad and not loss.ndim and not loss.is_complex()
        ):
            continue
        name = f"`losses[{k if names is None else names[k]!r}]`"
        if not isinstance(loss, Tensor):
            raise TypeError(f"{name} must be a tensor, or None for an absent task, found {loss!r}.")
        if loss.numel() != 1 or loss.is_complex():
            raise ValueError(f"{name} must be one real number, found {loss.dtype} of shape {tuple(loss.shape)}.")
        if not loss.requires_grad:
            raise ValueError(f"{name} must depend on a trainable parameter, found a constant.")
    return names, losses


def leaves_of(losses: Iterable[Tensor]) -> list[Any]:
    """The tensors that the losses' graph ends in, each once."""
    seen: set[Any] = set()
    found: dict[Any, None] = {}
    todo: list[Any] = [loss.grad_fn for loss in losses]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        todo.extend(following for following, _ in node.next_functions)
        if node.name() == "torch::autograd::AccumulateGrad":
            found[node.variable] = None
    return list(found)


class TaskOrder:
    """Which task is which row of J: by place, or by the keys of the first mapping."""

    def __init__(self) -> None:
        self._num_tasks: int | None = None
        self._names: list[Any] | None = None

    def rows(self, names: list[Any] | None, losses: list[Tensor | None]) -> tuple[dict[int, Tensor], int]:
        """The losses that are there, by row of J, and K. Refuses what does not fit the tasks of the first step."""
        K = self._num_tasks
        if names is not None and self._names is not None and names != self._names:
            if set(names) != set(self._names):
                known, found = (", ".join(map(repr, keys)) or "nothing" for keys in (self._names, names))
                raise ValueError(f"`losses` must hold {known}, as before, with None for an absent task, found {found}.")
            losses = [losses[names.index(name)] for name in self._names]
        if not losses or (K is not None and len(losses) != K):
            must = "at least one loss" if K is None else f"{K} losses, as before"
            raise ValueError(f"`losses` must hold {must}, found {len(losses)}.")
        rows = {k: loss for k, loss in enumerate(losses) if loss is not None}
        if not rows:
            raise ValueError("`losses` must hold a loss of at least one task, found None only.")
        if K is None or (names is not None and self._names is None):
            self._num_tasks, self._names = len(losses), names
        return rows, len(losses)


def _each(name: str, given: Any) -> Iterator[Any]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Iterable) and not isinstance(given, str | Mapping):
        for entry in given:
            if isinstance(entry, Tensor):
                yield entry
            elif isinstance(entry, Mapping) and "params" in entry:
                yield from _each(name, entry["params"])
            elif isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], Tensor):
                yield entry[1]
            else:
                raise TypeError(f"`{name}` must hold parameters, found {type(entry).__name__}.")
    else:
        raise TypeError(f"`{name}` must be an iterable of parameters, found {type(given).__name__}.")
