"""`pytest --surgery my_pkg:fn`: every promise of gradient surgery that a method may make, each a test.

A claim that is broken fails with the smallest gradients that break it, one without an answer in time with those that it
was at; what fails without being claimed is an expected failure, what says nothing about the method is skipped. With
--surgery and no paths, these are the only tests. This module lies outside the package, and imports it late: pytest
loads every plugin that is installed, in everybody's runs.
"""

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradsurgery", "certificates of gradient surgery methods")
    method = "a method to certify: module:name, or a name of gradsurgery's; may be given more than once"
    group.addoption("--surgery", action="append", default=[], metavar="METHOD", help=method)
    group.addoption("--surgery-claims", metavar="NAMES", help="what it claims, if its attribute `claims` does not say")
    group.addoption("--surgery-as", metavar="METHOD", help="what it computes, such as mgda or cagrad:c=0.4")
    group.addoption("--surgery-examples", type=int, default=60, metavar="N", help="J that each property is tried on")
    seconds = "for each property, from the first call on; a method that hangs has no answer (default: 30)"
    group.addoption("--surgery-limit", type=float, default=30.0, metavar="SECONDS", help=seconds)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--surgery") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    for target in config.getoption("--surgery"):
        items.extend(_items(session, config, target))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """A method's process ends with the last of its tests."""
    if isinstance(item, Promise) and getattr(nextitem, "certified", None) is not item.certified:
        item.certified.close()


class Promise(pytest.Item):
    """One property of one method."""

    def __init__(self, *, certified: Any, wanted: str, **more: Any) -> None:
        super().__init__(**more)
        self.certified, self.wanted = certified, wanted

    def runtest(self) -> None:
        found = self.certified.finding(self.wanted)
        if found.verdict == "does not apply":
            pytest.skip(found.note)
        if found.verdict == "holds":
            return
        what = "broken by" if found.verdict == "fails" else "no answer at"
        said = f"{found.says}: {what} J = {found.counterexample}" + (f" ({found.note})" if found.note else "")
        if found.claimed:
            raise Broken(said)
        pytest.xfail(f"not claimed; {said}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, Broken) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, self.name


class Broken(Exception):
    """A claim that a counter-example was found for, or that had no answer in time."""


def _items(session: pytest.Session, config: pytest.Config, target: str) -> Iterator[Promise]:
    if str(config.invocation_params.dir) not in sys.path:
        sys.path.insert(0, str(config.invocation_params.dir))
    try:
        from gradsurgery.certify import subject
        from gradsurgery.certify.limit import Limited

        claims = config.getoption("--surgery-claims")
        make = partial(
            subject, target, claims=claims.split(",") if claims else None,
            implements=config.getoption("--surgery-as"), trial=False,
        )  # fmt: skip
        certified = Limited(config.getoption("--surgery-limit"), make, examples=config.getoption("--surgery-examples"))
    except (ValueError, ImportError) as error:
        raise pytest.UsageError(f"--surgery {target}: {error}") from None
    config.add_cleanup(certified.close)
    for name in certified.names:
        of = f"{target}::{name}"
        yield Promise.from_parent(session, name=of, certified=certified, wanted=name, nodeid=of)
