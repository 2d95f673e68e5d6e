"""The two-way adapter: torchjd's methods as ours, ours as torchjd's."""

import numpy as np
import pytest
import torch

from gradsurgery.aggregators.torchjd import TorchJD, _build, as_torchjd
from gradsurgery.core.discovery import build
from tests.contracts import METHODS, check_repeatable, check_resumable, direction, generator, gradients, step

peer = pytest.importorskip("torchjd.aggregation")
J = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)
PLAIN = {
    "upgrad": (0.2929, 1.9004, 1.9004),
    "dualproj": (0.5563, 1.1109, 1.1109),
    "imtl_g": (0.0767, 1, 1),
    "mgda": (0, 1, 1),
    "pcgrad": (0.5848, 3.8012, 3.8012),
    "aligned_mtl": (0.2133, 0.9673, 0.9673),
    "config": (0.1588, 2.0706, 2.0706),
    "mean": (1, 1, 1),
    "sum": (2, 2, 2),
}


@pytest.mark.parametrize(("method", "d"), PLAIN.items())
def test_fixed_values(method, d):
    assert direction(TorchJD(method), J).numpy() == pytest.approx(d, abs=1e-4)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_options_reach_the_peer():
    pytest.importorskip("cvxpy")
    d = direction(build("aggregators", "torchjd", method="cagrad", options={"c": 0.5}), J)
    assert d.numpy() == pytest.approx((0.1835, 1.2041, 1.2041), abs=1e-4)


@pytest.mark.parametrize("method", ["pcgrad", "gradvac", "graddrop", "random"])
def test_peers_that_draw_use_our_generator(method):
    rows = gradients(4, 6)
    check_repeatable(TorchJD(method), rows)
    assert not torch.equal(direction(TorchJD(method), rows, generator(1)), direction(TorchJD(method), rows))


def test_gradvac_remembers_in_the_state_alone():
    matrices = [gradients(3, 6, seed) for seed in range(4)]
    check_resumable(TorchJD("gradvac"), matrices)
    first, _ = step(TorchJD("gradvac"), matrices[1])
    _, state = step(TorchJD("gradvac"), matrices[0])
    later, _ = step(TorchJD("gradvac"), matrices[1], state)
    again, _ = step(TorchJD("gradvac"), matrices[1])
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_nash_mtl_continues_in_another_process():
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    method = TorchJD("nash_mtl", {"update_weights_every": 2})
    reference = peer.NashMTL(n_tasks=2, update_weights_every=2)
    state, rng = None, generator()
    for seed in range(5):
        if seed == 3:
            _build.cache_clear()  # as a new process would
        rows = gradients(2, 4, seed)
        d, state = step(method, rows, state, rng)
        assert torch.allclose(d, reference(rows), atol=1e-8)
    assert {type(value) for value in state.values()} <= {int, np.ndarray}


@pytest.mark.parametrize("name", ["mean", "pcgrad", "cagrad", "mgda", "sam_gs"])
def test_ours_as_theirs(name):
    adapted = as_torchjd(METHODS[name], seed=5)
    assert isinstance(adapted, peer.Aggregator)
    rows, rng, state = [gradients(3, 7, seed) for seed in range(4)], generator(5), None
    for matrix in rows[:3]:
        expected, state = step(METHODS[name], matrix, state, rng)
        assert torch.equal(adapted(matrix), expected)
    other = as_torchjd(METHODS[name], seed=99)
    other.load_state_dict(adapted.state_dict())
    assert torch.equal(other(rows[3]), step(METHODS[name], rows[3], state, rng)[0])
    adapted.reset()
    assert torch.equal(adapted(rows[0]), step(METHODS[name], rows[0], None, generator(5))[0])


def test_ours_in_their_loop():
    """One step of torchjd's own engine with our PCGrad writes what the hand-worked example says."""
    autojac = pytest.importorskip("torchjd.autojac")
    theta = torch.zeros(2, requires_grad=True)
    losses = torch.stack([theta[0], theta[1] - theta[0]])
    autojac.backward(losses)
    autojac.jac_to_grad([theta], as_torchjd(METHODS["pcgrad"]))
    assert theta.grad.tolist() == pytest.approx([0.5, 1.5])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "famo"}, "`method` must be one of aligned_mtl, .* found method = 'famo'"),
        ({"method": "krum"}, "`options` must fit Krum"),
        ({"method": "upgrad", "options": {"colour": 1}}, "`options` must fit UPGrad"),
        ({}, "`torchjd.method` must be given"),
    ],
)
def test_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        build("aggregators", "torchjd", **fields)


def test_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("gradsurgery.core.extras.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"`torchjd` must be installed, .* pip install 'gradsurgery\[peers\]'"):
        TorchJD("upgrad")
