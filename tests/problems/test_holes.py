"""Hidden patches: how well they were filled in, by another's SSIM, and the rate's warm-up."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from gradsurgery.core.interfaces import Network
from gradsurgery.problems._album import IMAGENET_MEAN, IMAGENET_SD, twin
from gradsurgery.problems._holes import MaskedTraining, holes_of, judge
from gradsurgery.problems.imagenet_mae import prepare


@pytest.fixture(scope="module")
def arrays():
    return prepare({"x": twin(4, 96, 96, 6, 3, seed=0)}, {"left": "x", "seed": 0, "held": 2, "patches": 9})


class _Fixed(Network):
    """Says the picture `said`, in [0, 1], whatever it is shown; keeps what that was."""

    def __init__(self, said):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        mean, sd = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_SD))
        self.said = (said - mean) / sd

    def forward(self, inputs):
        self.seen = inputs
        return self.said, self.said

    def shared_parameters(self):
        return [self.unused]


def test_error_and_ssim_are_those_of_hidden_pixels(arrays):
    images = torch.from_numpy(arrays["test_images"][:4])
    holes = holes_of(arrays["test_patches"][:4], 7)
    assert holes.sum(dim=(1, 2)).tolist() == [7] * 4
    assert holes[0].flatten().nonzero().flatten().tolist() == sorted(arrays["test_patches"][0][:7].tolist())
    truth = images.permute(0, 3, 1, 2) / 255
    said = (truth + 0.2 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    network = _Fixed(said)
    error, similarity, scores = judge(network, images, holes, IMAGENET_MEAN, IMAGENET_SD)
    assert scores is None
    hole = torch.from_numpy(np.kron(holes.numpy(), np.ones((1, 32, 32)))).bool()
    assert torch.equal(network.seen[:, 3].bool(), hole)
    assert (network.seen[:, :3].permute(0, 2, 3, 1)[hole] == 0).all()
    filled = torch.where(hole[:, None], said, truth)
    _, whole = ssim(filled, truth, data_range=1.0, return_full_image=True, reduction="none")
    for k in range(4):
        assert float(similarity[k]) == pytest.approx(float(whole[k][:, hole[k]].mean()), abs=2e-4)
        away = ((said[k] - truth[k]).abs() / torch.tensor(IMAGENET_SD).view(3, 1, 1))[:, hole[k]]
        assert float(error[k]) == pytest.approx(float(away.mean()), rel=1e-4)


def test_the_rate_warms_up_in_even_steps_and_ends_at_the_floor():
    training = MaskedTraining(epochs=6, warmup=3, lr=1.0, lr_end=0.2)
    shares = [training.share_of(epoch) for epoch in range(6)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.6, 0.2])  # 0.6: halfway from 1 to 0.2
    assert MaskedTraining(epochs=1, warmup=0, lr=1.0, lr_end=0.2).share_of(0) == 1.0
