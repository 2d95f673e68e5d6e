"""G, J d and J^T w against plain float64 arithmetic."""

import numpy as np
import pytest
import torch

from gradsurgery.core.jacobian import combine, gains, gram, grams, read

TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 1e-5, torch.float16: 1e-5}


def random_jacobian(K, P, dtype=torch.float32):
    return torch.randn(K, P, generator=torch.Generator().manual_seed(K * P)).to(dtype)


@pytest.mark.parametrize("K", [1, 2, 3, 4, 10, 40])
@pytest.mark.parametrize("P", [1, 7, 4095, 4096, 4097, 300_000])
def test_gram_equals_float64_arithmetic(K, P):
    J = random_jacobian(K, P)
    expected = (J.double() @ J.double().T).numpy()
    G = gram(J)
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert G.dtype == np.float64
    assert (np.abs(G - expected) / scale).max() < TOLERANCE[torch.float32]
    assert (G == G.T).all()


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("K", [2, 5])
def test_each_dtype_is_squared_in_float32_at_least(dtype, K):
    J = random_jacobian(K, 9000, dtype)
    expected = (J.double() @ J.double().T).numpy()
    assert np.abs(gram(J) - expected).max() < TOLERANCE[dtype] * expected.max()


@pytest.mark.parametrize("K", [2, 5])
@pytest.mark.parametrize("scale", [1e-25, 1e-18, 1e18, 1e25])
def test_gradients_whose_squares_leave_float32_keep_their_gains(K, scale):
    J = random_jacobian(K, 5000) * scale
    expected = (J.double() @ J.double().T).numpy()
    np.testing.assert_allclose(gram(J), expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_a_row_that_is_not_finite_shows_on_the_diagonal():
    for bad in (torch.nan, torch.inf, -torch.inf):
        for K in (2, 5):
            J = random_jacobian(K, 100)
            J[1, 3] = bad
            assert np.isfinite(gram(J).diagonal()).tolist() == [k != 1 for k in range(K)]


def test_reduced_precision_gains_are_switched_off_and_put_back():
    J = random_jacobian(8, 8192)
    w = np.linspace(-1, 1, 8)
    expected = gram(J), combine(J, w, torch.empty(8192)).clone()
    torch.set_float32_matmul_precision("medium")
    try:
        assert (gram(J) == expected[0]).all()
        assert torch.equal(combine(J, w, torch.empty(8192)), expected[1])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_combine_writes_into_its_buffer_and_rounds_once(dtype):
    J = random_jacobian(3, 5000, dtype)
    w = np.array([1.0003, -0.3, 0.25])
    out = torch.empty(5000, dtype=dtype)
    d = combine(J, w, out)
    expected = torch.from_numpy(w) @ J.double()
    assert d.data_ptr() == out.data_ptr()
    assert (d.double() - expected).abs().max() <= 2 * torch.finfo(dtype).eps * expected.abs().max()


def test_gains_are_the_gains_of_each_task():
    J = random_jacobian(3, 300_000)
    d = random_jacobian(1, 300_000)[0]
    found, length = gains(J, d)
    np.testing.assert_allclose(found, (J.double() @ d.double()).numpy(), rtol=1e-9)
    assert length == pytest.approx(float(d.double().norm()), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("K", [2, 5])
def test_several_gram_matrices_at_once_are_those_one_by_one(K, dtype):
    matrices = [random_jacobian(K, P, dtype) for P in (3, 5000, 2**20 + 7)]
    matrices[1] = matrices[1] * 1e-20  # its float32 squares vanish: float64 then decides, for this one alone
    found, (table, number) = grams(matrices, torch.arange(6).reshape(2, 3), torch.tensor(0.1))
    for own, J in zip(found, matrices, strict=True):
        np.testing.assert_array_equal(own, gram(J))
    assert table.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert number == np.float64(np.float32(0.1))


def test_what_is_read_keeps_shapes_and_every_digit():
    parts = [torch.tensor(1 / 3), torch.ones(2, 0), torch.rand(2, 3, dtype=torch.float64, requires_grad=True)]
    found = read(*parts)
    assert [part.shape for part in found] == [(), (2, 0), (2, 3)]
    for own, part in zip(found, parts, strict=True):
        np.testing.assert_array_equal(own, part.detach().double().numpy())
    assert read() == []
