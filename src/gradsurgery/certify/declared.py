"""From what somebody named to a subject: the method, what it claims, and what it is said to compute."""

from collections.abc import Mapping
from typing import Any

import torch

from gradsurgery.certify.claims import claims_of, identity_of
from gradsurgery.certify.identity import Identity, parse
from gradsurgery.certify.subject import Claims, Subject
from gradsurgery.core.discovery import build
from gradsurgery.foreign import Foreign, as_method, load

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def subject(
    target: Any, *, name: str | None = None, claims: Any = None, implements: str | None = None,
    tasks: tuple[int, int] = (1, 12), dtype: str = "float64", fields: Mapping[str, Any] | None = None,
    trial: bool = True,
) -> Subject:  # fmt: skip
    """A subject for `certify`.

    Args:
        target: a name of ours, `module:name`, or a function, aggregator of torchjd or method itself.
        name: in the table; that of the target if left out.
        claims: names of properties, or name -> tolerance; if left out, what the method's attribute `claims` says.
        implements: `mgda`, `cagrad:c=0.4`, ..; if left out, what its attribute `implements` says.
        tasks: fewest and most tasks that it is made for.
        dtype: "float64", or "float32" for a method that computes in it whatever it is given.
        fields: hyper-parameters, for a name of ours.
        trial: whether it is called once, with a J that is nothing special.

    Raises:
        ValueError: no such method, one that gives no direction for the plainest J, or a claim that is none.
    """
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(DTYPES)}, found {dtype!r}.")
    if not 1 <= tasks[0] <= tasks[1]:
        raise ValueError(f"`tasks` must be the fewest and the most tasks, found {tasks}.")
    known = isinstance(target, str) and ":" not in target
    if fields and not known:
        raise ValueError(f"`fields` must be those of a method of ours, found {sorted(fields)} for {target!r}.")
    own = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
    label = name or str(own)
    if known:
        method = build("aggregators", target, **(fields or {}))
    else:
        method = load(target) if isinstance(target, str) else as_method(target, label)
    declared = method.function if isinstance(method, Foreign) else method
    if claims is None:
        claims = getattr(declared, "claims", None)
    if claims is None:
        claims = () if isinstance(method, Foreign) else claims_of(method)
    said = implements or getattr(declared, "implements", None)
    made = Subject(label, method, _claims(claims), _identity(said, method), tasks, DTYPES[dtype])
    if trial:
        first_direction(made)
    return made


def _claims(claims: Any) -> Claims:
    return dict(claims) if isinstance(claims, Mapping) else dict.fromkeys(claims)


def _identity(said: str | None, method: Any) -> Identity | None:
    if said is not None:
        return parse(said)
    return None if isinstance(method, Foreign) else identity_of(method)


def first_direction(made: Subject) -> None:
    """Raises Fault for a method that gives no direction for gradients that are nothing special."""
    K = min(max(2, made.tasks[0]), made.tasks[1])
    made.direction(torch.sin(torch.arange(1.0, 1.0 + 6 * K)).reshape(K, 6).to(made.dtype))
