"""What stands out, and normals kept as bytes: loss and numbers against torchmetrics and by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_jaccard_index

from gradsurgery.dense.geometry import Normals
from gradsurgery.dense.pascal import NormalBytes, Saliency


def test_saliency_is_the_mean_over_pictures_at_the_best_threshold():
    rng, task = torch.Generator().manual_seed(0), Saliency()
    output, truth = torch.randn(5, 1, 6, 8, generator=rng), torch.randint(0, 2, (5, 6, 8), generator=rng)
    truth[4] = 0
    output[4] = -9.0  # nothing there and nothing said: 1
    found, pulls = task.conclude(task.tally(output, truth).numpy())
    means = [
        np.mean([
            1.0 if k == 4 else float(binary_jaccard_index(output[k, 0].sigmoid(), truth[k], threshold=threshold))
            for k in range(5)
        ])
        for threshold in np.linspace(0.2, 0.9, 15)
    ]  # fmt: skip
    assert found["miou"] == pytest.approx(max(means), abs=1e-6)
    assert pulls["miou"].mean() == pytest.approx(found["miou"])
    assert pulls["miou"][4] == 1.0


def test_saliencys_loss_weighs_each_side_by_the_share_of_the_other():
    output = torch.tensor([[[[0.3, -1.0, 2.0, 0.5]]]])
    truth = torch.tensor([[[1, 0, 0, 0]]])
    entropy = (
        -torch.log(torch.tensor([0.3]).sigmoid()) * 0.75 - 0.25 * torch.log(1 - output[0, 0, 0, 1:].sigmoid()).sum()
    )
    assert float(Saliency().loss(output, truth)) == pytest.approx(float(entropy) / 4, rel=1e-5)


def test_normals_of_bytes_are_those_of_numbers():
    rng = torch.Generator().manual_seed(0)
    true = torch.nn.functional.normalize(torch.randn(2, 6, 8, 3, generator=rng), dim=-1)
    true[0, :2] = 0
    output = torch.randn(2, 3, 6, 8, generator=rng)
    stored = (127 * true).round().to(torch.int8)
    assert float(NormalBytes().loss(output, stored)) == pytest.approx(float(Normals().loss(output, true)), abs=5e-3)
    torch.testing.assert_close(NormalBytes().tally(output, stored), Normals().tally(output, true), rtol=0.02, atol=0.02)
    stored[1, 0, 0] = torch.tensor([90, -45, -45], dtype=torch.int8)  # counts though it adds up to 0
    assert NormalBytes()._cosines(output, stored.float())[1].sum() == 80
