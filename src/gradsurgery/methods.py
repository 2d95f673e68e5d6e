"""A method from whatever a user has: a name, a preset, a class or object of their own, torchjd's, a plain function."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gradsurgery import presets
from gradsurgery.aggregators import torchjd
from gradsurgery.core import discovery
from gradsurgery.core.interfaces import Aggregator, Method, Scalarization, State, Weighting
from gradsurgery.integrations.torchjd import from_torchjd

_METHODS = (Scalarization, Weighting, Aggregator)
_ELSEWHERE = {  # what is found under these names is no aggregator, but can be used all the same
    "transforms": "`gradsurgery.recon` scores and splits the layers of a network of your own",
    "rules": "`gradsurgery.epochs.learner` runs a rule on a network of your own",
    "balancers": "`gradsurgery.epochs.learner` takes one as its `balancer`",
}


def build(method: Any, /, preset: str | None = None, **fields: Any) -> Method:
    """An aggregation method, ready for `GradientSurgery` or `aggregate`.

    >>> build("pcgrad", order="fixed")
    PCGrad(reduction='sum', order='fixed', include_self=False)
    >>> build("cagrad", preset="paper").rescale
    0
    >>> build(lambda J: J.sum(dim=0) / 2)  # doctest: +ELLIPSIS
    Function(function=<function <lambda> at ...>)

    Args:
        method: a name (`gradsurgery.available()`); a class of your own, a dataclass that is a `Scalarization`,
            `Weighting` or `Aggregator`; an object of one, which comes back as it is; an aggregator of torchjd; or a
            function without memory from J (K, P) to d (P,).
        preset: of a name, one of `gradsurgery.presets.available(name)`.
        fields: of a name or a class, over those of the preset.

    Raises:
        ValueError: unknown name (the known ones are listed) or preset, unknown field, or a value that the field does
            not admit.
        TypeError: `method` is nothing of the above.
    """
    if isinstance(method, str):
        _refuse_others(method)
        given = {**presets.of(method, preset).fields, **fields} if preset is not None else fields
        named: Method = discovery.build("aggregators", method, **given)
        return named
    if preset is not None:
        raise ValueError(f"`preset` must be left out unless `method` is a name, found {preset!r}.")
    if isinstance(method, type) and issubclass(method, _METHODS):
        own: Method = discovery.make(method, method.__name__, fields)
        return own
    if fields:
        raise ValueError(f"`{next(iter(fields))}` must be left out unless `method` is a name or a class, found it.")
    if isinstance(method, _METHODS):
        return method
    if any(kind.__module__.startswith("torchjd.") for kind in type(method).__mro__):
        return from_torchjd(method)
    if isinstance(method, type) or not callable(method):
        raise TypeError(
            "`method` must be a name, a function of J, or a Scalarization, Weighting or Aggregator, found "
            f"{method.__name__ if inspect.isclass(method) else repr(method)}."
        )
    return Function(method)


def available() -> list[str]:
    """Names of all aggregation methods.

    >>> "pcgrad" in available()
    True
    """
    return discovery.available("aggregators")


def as_torchjd(method: Any, /, *, seed: int = 0, preset: str | None = None, **fields: Any) -> Any:
    """One of our methods, or whatever `build` takes, as an `Aggregator` of torchjd, for `jac_to_grad` and the like.

    State and generator live in the object: `state_dict` holds both, `reset` forgets them.

    Raises:
        ImportError: torchjd is not installed.
    """
    return torchjd.as_torchjd(build(method, preset, **fields), seed)


@dataclass(frozen=True)
class Function(Aggregator):
    """A plain function as an aggregator. It must remember nothing: of a restarted run nobody could give that back.

    Args:
        function: J (K, P) to d (P,), a tensor on J's device; J must not be changed.
    """

    function: Callable[[Tensor], Tensor]

    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        d: Any = self.function(J)
        if not isinstance(d, Tensor) or d.shape != J.shape[1:]:
            found = f"shape {tuple(d.shape)}" if isinstance(d, Tensor) else type(d).__name__
            raise ValueError(f"`function` must return a tensor of shape ({J.shape[1]},), found {found}.")
        return d.to(J), {}


def _refuse_others(name: str) -> None:
    if name in discovery.available("aggregators"):
        return
    for kind, where in _ELSEWHERE.items():
        if name in discovery.available(kind):
            raise ValueError(f"`method` must name an aggregator ({where}), found {name!r}, one of the {kind}.")
