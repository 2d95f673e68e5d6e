"""Anybody's method as one of ours: `load("my_pkg.my_mod:MyMethod")`, and what it did wrong in one sentence.

What is named may be one of our kinds (`core/interfaces`), an aggregator of torchjd, or any function from the task
gradients J (K, P) to a direction (P,); a class of these, or an object. A class is constructed without arguments.
"""

import copy
import importlib
import inspect
import random
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.discovery import did_you_mean
from gradsurgery.core.interfaces import (
    Aggregator,
    Balancer,
    Method,
    ModelTransform,
    Network,
    Problem,
    Scalarization,
    State,
    Weighting,
)
from gradsurgery.core.run import TrainingRule

# What a name may lead to by mistake: it acts, but not on the task gradients.
_ELSEWHERE = {
    Balancer: "a balancer, which weighs losses", ModelTransform: "a transform, which rewrites networks",
    TrainingRule: "a rule, which runs epochs", Problem: "a problem", Network: "a network",
    torch.optim.Optimizer: "an optimiser",
}  # fmt: skip
_OURS = (Path(__file__).parent, Path(__file__).parents[2] / "pipelines")
_INSTALLED = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


class Fault(ValueError):
    """What somebody's method did that no method may, in one sentence."""


@dataclass(frozen=True)
class Foreign(Aggregator):
    """A function of the task gradients, or an object that is called like one, as a method.

    What it draws from the global generators of torch, numpy or Python follows from the run's seed. What an object
    remembers between calls is no part of a checkpoint: a method that is to be resumed takes state in and gives it out.

    Args:
        function: J (K, P) -> d (P,), or (J, state, generator) -> (d, state) as our own.
        name: in errors.
        stateful: which of the two.
    """

    function: Callable[..., Any]
    name: str
    stateful: bool

    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        """Direction and state. Raises Fault where the function raises, or returns what is no direction for J."""
        with _seeded(generator, J.device):
            try:
                found = self.function(J, state, generator) if self.stateful else self.function(J)
            except Exception as error:
                raise Fault(f"`{self.name}` must return a direction for J {shape(J)}, found {told(error)}.") from error
        if self.stateful:
            if not isinstance(found, tuple) or len(found) != 2:
                raise Fault(f"`{self.name}` must return a direction and a state, found {kind(found)}.")
            found, state = found
        return direction(found, J, self.name), state or {}


def load(target: str) -> Method:
    """The method that `module:name` names, with a memory of its own. Raises Fault for what is none."""
    module, _, name = target.partition(":")
    if not module or not name:
        raise Fault(f"`{target}` must be the name of a method or `module:name`.")
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise Fault(f"`{module}` must import, found {told(error)}.") from error
        near = did_you_mean(module, (path.stem for path in Path().glob("*.py")))
        raise Fault(f"`{module}` must be a module, found none in {Path.cwd()} and none installed{near}") from None
    except Exception as error:
        raise Fault(f"`{module}` must import, found {told(error)}.") from error
    if not hasattr(imported, name):
        near = did_you_mean(name, (each for each in vars(imported) if not each.startswith("_")))
        raise Fault(f"`{target}` must name something in {module}, found no `{name}` there{near}")
    return as_method(getattr(imported, name), target)


def as_method(found: Any, name: str) -> Method:
    """A method of ours as it is, and whatever else maps task gradients to a direction as one. Raises Fault."""
    for other, what in _ELSEWHERE.items():
        if isinstance(found, other) or (inspect.isclass(found) and issubclass(found, other)):
            raise Fault(f"`{name}` must be a method on task gradients, found {what}.")
    made = _made(found, name) if inspect.isclass(found) else copy.deepcopy(found)
    if isinstance(made, Scalarization | Weighting | Aggregator):
        return made
    if not callable(made):
        raise Fault(f"`{name}` must be a method on task gradients, found {kind(made)}.")
    wanted = _wanted(made.forward if isinstance(made, nn.Module) else made)
    if wanted not in (1, 3):
        raise Fault(f"`{name}` must take the task gradients J (K, P), or (J, state, generator), found that it takes "
                    f"{wanted} arguments.")  # fmt: skip
    return Foreign(made, name, stateful=wanted == 3)


def told(error: BaseException) -> str:
    """An exception as part of a sentence: its kind, where in its author's own code, its text."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _lies_in(frame.filename, _OURS)]
    frames = [frame for frame in frames if not _lies_in(frame.filename, _INSTALLED)] or frames
    place = f" at {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    said = error.msg if isinstance(error, SyntaxError) else error
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {Path(error.filename).name}, line {error.lineno}"
    text = " ".join(str(said).split()).rstrip(".")
    return f"{type(error).__name__}{place}{f' ({text:.200})' if text else ''}"


def _lies_in(file: str, folders: Sequence[Path]) -> bool:
    return file.startswith("<frozen") or any(Path(file).is_relative_to(folder) for folder in folders)


def _made(found: type, name: str) -> Any:
    try:
        return found()
    except Exception as error:
        module, _, own = name.partition(":")
        raise Fault(
            f"`{name}` must be constructible without arguments, found {told(error)}: name an object in its place, such "
            f"as `mine = {own or module}(..)`."
        ) from error


def _wanted(called: Callable[..., Any]) -> int:
    """How many arguments must be given by position; one where nobody knows."""
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return 1
    own = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    several = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    needed = sum(p.default is p.empty for p in own)
    return 1 if needed == 0 and (own or several) else needed


def direction(found: Any, J: Tensor, name: str) -> Tensor:
    """What a method returned, as it goes into `.grad`. Raises Fault for what is no direction for J (K, P)."""
    d = torch.from_numpy(found) if isinstance(found, np.ndarray) else found
    if not isinstance(d, Tensor):
        raise Fault(f"`{name}` must return a tensor ({J.shape[1]},), found {kind(found)}.")
    if d.shape != J.shape[1:]:
        hint = ": weights w give `J.T @ w`" if d.shape == J.shape[:1] else ""
        raise Fault(f"`{name}` must return a direction ({J.shape[1]},) for J {shape(J)}, found {shape(d)}{hint}.")
    return d.detach().to(J)


def shape(tensor: Tensor) -> str:
    """`(2, 64)`."""
    return str(tuple(tensor.shape))


def kind(found: Any) -> str:
    """A value as part of a sentence."""
    return "nothing" if found is None else f"{type(found).__name__} {found!r:.60}"


@contextmanager
def _seeded(generator: np.random.Generator, device: torch.device) -> Iterator[None]:
    """The global generators, seeded from ours for one call and put back."""
    seed, numbers, python = int(generator.integers(2**32)), np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numbers)  # noqa: NPY002
            random.setstate(python)
