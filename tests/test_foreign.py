"""Anybody's method: what is taken, that it trains as ours does, and one sentence for every fault."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.core.interfaces import Weighting
from gradsurgery.foreign import Fault, as_method, load
from gradsurgery.rehearsal import step, try_out

NAME = "mine:fn"


def ours(J):
    return J.sum(0)


class Called:
    def __call__(self, J):
        return J.sum(0)


class Module(nn.Module):
    def forward(self, matrix, /):
        return matrix.sum(0)


@dataclasses.dataclass(frozen=True)
class Weights(Weighting):
    scale: float = 1.0

    def __call__(self, G, state, generator):
        return np.full(len(G), self.scale), {}


ACCEPTED = {
    "function": ours, "numpy": lambda J: J.numpy().sum(0), "graph": lambda J: J.sum(0).requires_grad_(),
    "with state": lambda J, state, generator: (J.sum(0), {"seen": 1}), "class": Called, "object": Called(),
    "module": Module, "ours": Weights, "our object": Weights(1.0), "double": lambda J: J.double().sum(0),
    "default": lambda J, scale=1.0: scale * J.sum(0),
}  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED)
def test_whatever_maps_gradients_to_a_direction_is_taken(kind):
    method = as_method(ACCEPTED[kind], NAME)
    try_out(method, NAME, 3)
    J = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    d, _ = step(method, J, None, np.random.default_rng(0))
    assert d.dtype == J.dtype
    assert not d.requires_grad
    assert torch.allclose(d, J.sum(0))


def test_a_method_of_ours_stays_what_it_is():
    assert as_method(Weights, NAME) == Weights()
    assert load("gradsurgery.aggregators.pcgrad:PCGrad") == build("pcgrad")


def test_an_aggregator_of_torchjd_gives_its_own_direction():
    torchjd = pytest.importorskip("torchjd.aggregation")
    J = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    d, _ = step(load("torchjd.aggregation:IMTLG"), J, None, np.random.default_rng(0))
    assert torch.equal(d, torchjd.IMTLG()(J))


def test_the_engine_steps_along_it():
    x = nn.Parameter(torch.tensor([1.0, 2.0]))
    GradientSurgery([x], as_method(lambda J: 3.0 * J[0] - J[1], NAME)).backward([x[0], x[1]])
    assert x.grad.tolist() == [3.0, -1.0]


DRAWS = {"torch": lambda: torch.rand(()), "numpy": lambda: np.random.rand(), "python": random.random}  # noqa: NPY002


@pytest.mark.parametrize("source", DRAWS)
def test_what_it_draws_follows_from_the_seed_and_global_generators_stay(source):
    method = as_method(lambda J: J.sum(0) * DRAWS[source](), NAME)
    J = torch.ones(2, 3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    one, same, other = (step(method, J, None, np.random.default_rng(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()


def test_two_runs_share_no_memory():
    class Remembers:
        count = 0

        def __call__(self, J):
            self.count += 1
            return J[0] * self.count

    mine = Remembers()
    for _ in range(2):
        assert step(as_method(mine, NAME), torch.ones(2, 3), None, np.random.default_rng(0))[0][0] == 1.0


class Needy:
    def __init__(self, c):
        self.c = c


FAULTS = {
    "two arguments": (lambda J, k: J.sum(0), r"must take the task gradients J .* takes 2 arguments"),
    "scalar": (lambda J: J[0, 0], r"must return a direction \(64,\) for J \(2, 64\), found \(\)"),
    "weights": (lambda J: torch.ones(2), r"must return a direction \(64,\) .*found \(2,\): weights w give `J.T @ w`"),
    "whole J": (lambda J: J, r"must return a direction \(64,\) .*found \(2, 64\)"),
    "nothing": (lambda J: None, r"must return a tensor \(64,\), found nothing"),
    "list": (lambda J: [1.0] * 64, r"must return a tensor \(64,\), found list"),
    "NaN": (lambda J: J.sum(0) * float("nan"), r"must return finite numbers, found 64 of 64 that are not"),
    "raises": (lambda J: 1 / 0, r"found ZeroDivisionError at test_foreign.py, line \d+ \(division by zero\)"),
    "deep": (lambda J: torch.linalg.inv(J), r"found .*Error at test_foreign.py, line \d+ \(.*\)"),
    "differentiates": (lambda J: J.sum().backward(), r"RuntimeError at test_foreign.py.*does not require grad"),
    "writes": (lambda J: J.mul_(2.0).sum(0), r"must leave J as it is, found it changed: work on `J.clone\(\)`"),
    "no pair": (lambda J, s, g: J.sum(0), r"must return a direction and a state, found Tensor"),
    "state": (lambda J, s, g: (J.sum(0), {"x": object()}), r"`state` must hold tensors, .*, found object"),
    "optimiser": (torch.optim.SGD, r"must be a method on task gradients, found an optimiser"),
    "number": (3, r"must be a method on task gradients, found int 3"),
    "needy": (Needy, r"must be constructible without arguments, found TypeError .*`mine = fn\(..\)`"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_one_sentence_that_names_the_method(fault):
    found, sentence = FAULTS[fault]
    with pytest.raises(
        Fault, match=rf"^`{NAME}` {'.*' if not sentence.startswith('must') else ''}{sentence}"
    ) as caught:
        try_out(as_method(found, NAME), NAME, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["balancers", "rules", "transforms", "problems", "networks"])
def test_what_does_not_act_on_gradients_says_what_it_is(kind):
    from gradsurgery.core import discovery

    for name in discovery.available(kind):
        with pytest.raises(Fault, match=r"must be a method on task gradients, found (a|an) "):
            as_method(discovery.find(kind, name), NAME)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("mine", r"`mine` must be the name of a method or `module:name`"),
        ("no_such_module:fn", r"`no_such_module` must be a module, found none in "),
        ("json:dumpz", r"`json:dumpz` must name something in json, found no `dumpz` there; did you mean dump"),
        ("broken:fn", r"`broken` must import, found SyntaxError at broken.py, line 2"),
        (
            "needs:fn",
            r"`needs` must import, found ModuleNotFoundError at needs.py, line 1 \(No module named 'nowhere'\)",
        ),
        ("mein:fn", r"`mein` must be a module, .*did you mean mine\?"),
    ],
)
def test_what_cannot_be_found_is_said(tmp_path, monkeypatch, target, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken.py").write_text("x = 1\ndef fn(:\n", encoding="utf-8")
    (tmp_path / "needs.py").write_text("import nowhere\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text("", encoding="utf-8")
    with pytest.raises(Fault, match=sentence):
        load(target)
