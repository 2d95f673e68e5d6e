"""A task without a loss: the method acts on the tasks that are there, and what it remembers of the others waits."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from tests.contracts import METHODS, generator

MORE = {
    "gcond-lion": build("gcond", output="lion", dominance_window=2),
    "gcond-raw": build("gcond", previous="raw", buffers="bfloat16"),
    "gradvac": build("torchjd", method="gradvac"),
    "nash_mtl": build("torchjd", method="nash_mtl"),
}
ALL = METHODS | MORE
ROWS = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4, 7))).float()
ROWS[:, 1] -= 0.8 * ROWS[:, 0]  # so that something conflicts


def step(engine, rows, tasks, micro=1):
    (p,) = engine.parameters
    p.grad = None
    for _ in range(micro):
        losses = [(rows[k] * p).sum() / micro if k in tasks else None for k in range(4)]
        engine.accumulate(losses)
    assert engine.aggregate()
    return p.grad


def engines(name):
    made = []
    for _ in range(2):
        made.append(GradientSurgery([nn.Parameter(torch.ones(7))], ALL[name]))
        made[-1].generator = generator(5)
    return made


@pytest.mark.filterwarnings("ignore::UserWarning")  # cvxpy
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("there", [(0, 1), (1, 2, 3), (2,)])
@pytest.mark.parametrize("micro", [1, 2])
def test_direction_is_that_of_the_tasks_alone(name, there, micro):
    if name == "nash_mtl" and len(there) == 1:
        pytest.skip("torchjd's Nash-MTL cannot do with one task")
    whole, _ = engines(name)
    alone = GradientSurgery([nn.Parameter(torch.ones(7))], ALL[name])
    alone.generator = generator(5)
    (p,) = alone.parameters
    for rows in ROWS[:3]:
        d = step(whole, rows, there, micro).clone()
        p.grad = None
        for _ in range(micro):
            alone.accumulate([(rows[k] * p).sum() / micro for k in there])
        alone.aggregate()
        assert torch.equal(d, p.grad)
    absent = [k for k in range(4) if k not in there]
    if whole.weights is not None:
        assert (whole.weights[absent] == 0.0).all()
        np.testing.assert_array_equal(whole.weights[list(there)], alone.weights)
    if whole.gram is not None:
        assert not whole.gram[absent].any()
        np.testing.assert_array_equal(whole.gram[np.ix_(there, there)], alone.gram)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [n for n in ALL if n.startswith(("gcond", "sam_gs", "nash", "gradvac"))])
def test_the_memory_of_an_absent_task_waits(name):
    engine, _ = engines(name)
    step(engine, ROWS[0], range(4))
    before = copy.deepcopy(engine.state)
    step(engine, ROWS[1], (0, 1))
    rows = {"previous", "ema", "m", "steps", "alpha"} & {
        k for k, v in before.items() if len(np.shape(v)) and len(v) == 4
    }
    assert rows or name == "gradvac"
    for key in rows:
        assert np.array_equal(np.asarray(before[key][2:].tolist()), np.asarray(engine.state[key][2:].tolist())), key
        assert not np.array_equal(np.asarray(before[key][:2].tolist()), np.asarray(engine.state[key][:2].tolist())), key
    if name == "gradvac":
        assert torch.equal(before["targets"][2:], engine.state["targets"][2:])
        assert not torch.equal(before["targets"][:2, :2], engine.state["targets"][:2, :2])


def test_a_momentum_that_waited_is_corrected_for_its_own_age():
    """SAM-GS: with one gradient, always the same, |m^| is |g|, however late a task joins."""
    method = build("sam_gs", gamma=0.0, max_norm=None)
    engine, late = (GradientSurgery([nn.Parameter(torch.ones(7))], method) for _ in range(2))
    for _ in range(3):
        step(engine, ROWS[0], range(4))
        step(late, ROWS[0], (0, 1, 2))
    h = late.state["h"] / (1 - 0.99**3)
    assert h > 0.0
    d = step(late, ROWS[0], range(4))
    root = np.sqrt(late.state["h"] / (1 - 0.99**4))
    expected = 4 * (ROWS[0].abs() * ROWS[0]).sum(0) / root
    torch.testing.assert_close(d, expected.float(), rtol=1e-5, atol=1e-6)
    assert late.state["steps"].tolist() == [4, 4, 4, 1]


def test_winners_of_gcond_keep_their_own_numbers():
    method = build("gcond", dominance_window=2, max_iters=1)
    engine = GradientSurgery([nn.Parameter(torch.ones(7))], method)
    step(engine, ROWS[0], (1, 3))
    rows = ROWS[0].clone()
    rows[3] = -rows[1]
    step(engine, rows, (1, 3))
    assert set(engine.state["decisions"].ravel().tolist()) == {1, 3}
    winner = int(engine.state["history"][-1])
    assert winner in (1, 3)
    kept = engine.state["history"].tolist()
    rows[2] = -rows[0]
    step(engine, rows, (0, 2))
    assert engine.state["history"].tolist()[:-1] == kept[-1:]
    assert int(engine.state["history"][-1]) in (0, 2)


def test_rows_of_absent_tasks_are_zero_and_K_stays():
    engine, _ = engines("pcgrad")
    step(engine, ROWS[0], range(4))
    step(engine, ROWS[1], (1, 2))
    assert not engine.jacobian[[0, 3]].any()
    assert torch.equal(engine.jacobian[1], ROWS[1, 1])
    with pytest.raises(ValueError, match="`losses` must hold 4 losses, as before, found 2"):
        engine.backward([engine.parameters[0].sum()] * 2)
    with pytest.raises(ValueError, match="at least one task, found None only"):
        engine.backward([None] * 4)


def test_a_task_that_sits_out_one_micro_batch_is_there():
    engine, _ = engines("mean")
    (p,) = engine.parameters
    engine.accumulate([p.sum(), None, None, None])
    engine.accumulate([None, p.sum(), None, None])
    engine.aggregate()
    assert p.grad.tolist() == [1.0] * 7  # two tasks, each with gradient 1
    assert engine.weights.tolist() == [0.5, 0.5, 0.0, 0.0]
