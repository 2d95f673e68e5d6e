"""`aggregate` is what the engine does, without a network; `diagnose` counts conflicts, and what chance gives."""

import copy

import numpy as np
import pytest
import torch

from gradsurgery import GradientSurgery, aggregate, available, build, diagnose

FIELDS = {"torchjd": {"method": "upgrad"}}
METHODS = [pytest.param(name, FIELDS.get(name, {}), id=name) for name in available()]


def _given(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 7))


def _by_engine(method, matrices, seed=3):
    """The directions of losses that are linear in one parameter, so that J is what we say."""
    p = torch.nn.Parameter(torch.zeros(7, dtype=torch.float64))
    surgery = GradientSurgery([p], method, seed=seed)
    found = []
    for J in matrices:
        p.grad = None
        assert surgery.backward([torch.from_numpy(row) @ p for row in J])
        found.append(p.grad.numpy().copy())
    return found


@pytest.mark.parametrize(("name", "fields"), METHODS)
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_it_is_the_engine_without_a_network_also_in_later_calls(name, fields, rows):
    matrices = [_given(rows, seed) for seed in range(3)]
    memory = {}
    engine = _by_engine(build(name, **fields), matrices)
    generator = GradientSurgery([torch.nn.Parameter(torch.zeros(1))], build("sum"), seed=3).generator
    found = [aggregate(J, name, state=memory, seed=generator, **fields) for J in matrices]
    np.testing.assert_allclose(found, engine, rtol=1e-12)


def test_without_a_state_every_call_is_a_first_one():
    J, other = _given(3), _given(3, 1)
    first = aggregate(J, "sam_gs", preset="data")
    aggregate(other, "sam_gs", preset="data")
    np.testing.assert_array_equal(aggregate(J, "sam_gs", preset="data"), first)
    memory = {}
    aggregate(other, "sam_gs", preset="data", state=memory)
    assert memory["t"] == 1
    assert not np.allclose(aggregate(J, "sam_gs", preset="data", state=memory), first)


def test_the_seed_decides_what_is_drawn():
    J = _given(5)
    np.testing.assert_array_equal(aggregate(J, "pcgrad", seed=1), aggregate(J, "pcgrad", seed=1))
    assert len({tuple(aggregate(J, "pcgrad", seed=seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("given", "kind", "dtype"),
    [
        ([[1, 0], [0, 2]], np.ndarray, np.float64),
        (np.eye(2, dtype=np.float32), np.ndarray, np.float32),
        (np.eye(4)[::2, ::2], np.ndarray, np.float64),
        (np.broadcast_to(np.ones(2), (2, 2)), np.ndarray, np.float64),
        (np.eye(2, dtype=np.float16), np.ndarray, np.float16),
        (torch.eye(2), torch.Tensor, torch.float32),
        (torch.eye(2, dtype=torch.bfloat16), torch.Tensor, torch.bfloat16),
        (torch.eye(2, requires_grad=True), torch.Tensor, torch.float32),
    ],
)
def test_what_goes_in_comes_out_and_stays_as_it_was(given, kind, dtype):
    before = copy.deepcopy(given)
    d = aggregate(given, "sum")
    assert isinstance(d, kind)
    assert d.dtype == dtype
    assert d.shape == (2,)
    assert torch.equal(given, before) if isinstance(given, torch.Tensor) else np.array_equal(given, before)


@pytest.mark.parametrize(
    ("J", "said"),
    [
        (np.ones(3), r"`J` must have K rows and P columns, found shape \(3,\)"),
        (np.ones((0, 3)), r"found shape \(0, 3\)"),
        ([[1.0, np.nan]], "`J` must be finite, found a number that is not in row 0"),
        ([[1.0, 0.0], [np.inf, 0.0]], "in row 1"),
        ("pcgrad", "`J` must be a matrix of numbers, found str"),
        ([["a"]], "`J` must be a matrix of numbers, found list"),
        (np.full((2, 2), 1e308), "`J` must be small enough for a finite direction"),
    ],
)
def test_what_is_no_matrix_of_gradients_is_refused(J, said):
    with pytest.raises(ValueError, match=said):
        aggregate(J, "sum")


def test_a_method_that_needs_the_parameter_tensors_is_sent_to_the_engine():
    with pytest.raises(ValueError, match=r"`method` must not ask for the parameter tensors .* `GradientSurgery` knows"):
        aggregate(np.eye(2), "gcond", output="lion")


def test_diagnosis_of_known_gradients():
    found = diagnose(np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found.cosines, [[1, -1, 0], [-1, 1, 0], [0, 0, 1]])
    assert found.conflict_share == pytest.approx(1 / 3)
    assert found.mean_cosine == pytest.approx(-1 / 3)
    assert found.magnitude_similarity == pytest.approx(0.8 / 3)
    assert found.random_sd == pytest.approx(2**-0.5)
    assert found.null is None


def test_several_batches_give_the_mean_and_the_null():
    first, second = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.0, -1.0]])
    found = diagnose(first, second)
    assert found.mean_cosine == pytest.approx((0 - 1) / 2)
    assert found.conflict_share == 0.5
    # The first task meets itself at a right angle, the second itself turned round; across: e1 . -e2 and e2 . e2.
    assert (found.null.same_task, found.null.same_task_conflicts) == (-0.5, 0.5)
    assert (found.null.cross_task, found.null.cross_task_conflicts) == (0.5, 0.0)


def test_tasks_that_do_not_differ_are_not_below_the_null():
    """Both tasks have the same gradient and the noise of their examples: no conflict beyond chance."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=4000)
    batches = [mean + 2.0 * rng.normal(size=(2, 4000)) for _ in range(6)]
    found = diagnose(*batches)
    assert found.null.cross_task == pytest.approx(found.null.same_task, abs=0.03)
    apart = [batch * np.array([[1.0], [-1.0]]) for batch in batches]
    assert diagnose(*apart).null.cross_task < found.null.same_task - 0.2


def test_other_batches_must_have_the_shape_of_the_first():
    with pytest.raises(ValueError, match=r"`others\[0\]` must have J's shape \(2, 3\), found \(2, 4\)"):
        diagnose(np.ones((2, 3)), np.ones((2, 4)))
