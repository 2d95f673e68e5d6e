"""SSIM against torchmetrics, and its gradient."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from gradsurgery.problems._ssim import similarity_map


@pytest.mark.parametrize("size", [(32, 32), (11, 24)])
def test_similarity_is_that_of_torchmetrics(size):
    made = torch.Generator().manual_seed(0)
    a = torch.rand(3, 2, *size, generator=made)
    b = (a + 0.2 * torch.randn(3, 2, *size, generator=made)).clamp(0, 1)
    _, expected = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    torch.testing.assert_close(similarity_map(a, b), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(similarity_map(a, a), torch.ones_like(a), rtol=1e-5, atol=1e-5)


def test_similarity_has_the_gradient_that_finite_differences_give():
    made = torch.Generator().manual_seed(0)
    a, b = (torch.rand(1, 1, 8, 9, generator=made, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: similarity_map(x, b), (a.requires_grad_(),))
