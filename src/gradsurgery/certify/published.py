"""Promises of a method that is declared to be a published one: formulas, certificates, and other implementations."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from gradsurgery.certify import identity, matrices
from gradsurgery.certify.measure import same_law, size, turned
from gradsurgery.certify.properties import Absent, Property
from gradsurgery.certify.subject import Subject
from gradsurgery.core.discovery import available, build


def _closed_form(subject: Subject, J: Tensor) -> float:
    formula = identity.two_tasks(_identity(subject), J.double().numpy())
    return turned(subject.direction(J), torch.from_numpy(formula), size(J))


def _certificate(subject: Subject, J: Tensor) -> float:
    named = _identity(subject)
    if named.name not in identity.CERTIFIED:
        raise Absent(f"{named.name} has no certificate here, only {' and '.join(identity.CERTIFIED)} have")
    d = subject.direction(J).double().numpy()
    return identity.certificate(named, J.double().numpy(), d, size(J))


def _agrees_ours(subject: Subject, J: Tensor) -> float:
    named = _identity(subject)
    if named.name not in available("aggregators"):
        raise Absent(f"{named.name} is not among ours")
    return same_law(subject, J, _other(subject, named.name, tuple(named.options.items())), J, lengths=False)


def _agrees_torchjd(subject: Subject, J: Tensor) -> float:
    named = _identity(subject)
    options: Any = (("method", named.name), ("options", tuple(named.options.items())))
    try:
        return same_law(subject, J, _other(subject, "torchjd", options), J, lengths=False)
    except ImportError as error:
        raise Absent("torchjd, or a solver of it, is not installed") from error


def _identity(subject: Subject) -> identity.Identity:
    if subject.identity is None:
        raise Absent("declared to be no published method")
    return subject.identity


def _other(subject: Subject, name: str, fields: tuple[tuple[str, Any], ...]) -> Subject:
    return Subject(name, _built(name, fields), dtype=subject.dtype)


@cache
def _built(name: str, fields: tuple[tuple[str, Any], ...]) -> Any:
    values = {key: dict(value) if isinstance(value, tuple) else value for key, value in fields}
    return build("aggregators", name, **values)


PUBLISHED = (
    Property("closed_form", "K = 2: d points where the formula of the method has it", _closed_form, matrices.two_rows),
    Property("certificate", "no direction serves the worst-off task better (duality gap)", _certificate,
             matrices.moving_rows),
    Property("agrees_ours", "d points where our method of that name has it", _agrees_ours, matrices.moving_rows),
    # torchjd leaves two of them to solvers that stop at a tolerance
    Property("agrees_torchjd", "d points where torchjd's method of that name has it", _agrees_torchjd,
             matrices.moving_rows, 1e-3, 1e-2, share=0.25),
)  # fmt: skip
