"""Which properties hold for which method (and that they fail for the others), and the matrix of published variants."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from tests.contracts import METHODS, direction, generator

FIXED = build("aggregators", "pcgrad", order="fixed")
NARROW = build("aggregators", "cagrad", c=0.5)
WIDE = build("aggregators", "cagrad", c=2.0)
#        method           K  agrees with every task, order of tasks is irrelevant, linear in positive row scales
TABLE = {
    "mean": (METHODS["mean"], 3, False, True, True),
    "sum": (METHODS["sum"], 3, False, True, True),
    "pcgrad, K=2": (FIXED, 2, True, True, True),
    "pcgrad, K=3": (FIXED, 3, False, False, True),
    "cagrad c<1": (NARROW, 3, False, True, False),
    "cagrad c>=1": (WIDE, 3, True, True, False),
    "mgda": (METHODS["mgda"], 3, True, True, False),
}
table = pytest.mark.parametrize(("method", "K", "agrees", "symmetric", "linear"), TABLE.values(), ids=TABLE)
MATRICES = {K: [torch.from_numpy(generator(seed).standard_normal((K, 3))) for seed in range(40)] for K in (2, 3)}


@table
def test_agrees_with_every_task(method, K, agrees, symmetric, linear):
    worst = 0.0
    for J in MATRICES[K]:
        d = direction(method, J)
        worst = min(worst, float((J @ d / (J.norm(dim=1) * d.norm() + 1e-12)).min()))
    assert (worst >= -1e-7) == agrees
    assert agrees or worst < -0.1  # the counter-example is no rounding


@table
def test_order_of_tasks(method, K, agrees, symmetric, linear):
    worst = max(
        float(
            (direction(method, J.flip(0)) - direction(method, J)).norm() / direction(method, J).norm().clamp(min=1e-9)
        )
        for J in MATRICES[K]
        if direction(method, J).norm() > 1e-6
    )
    assert (worst < 1e-6) == symmetric
    assert symmetric or worst > 0.01


@table
def test_linear_under_positive_row_scales(method, K, agrees, symmetric, linear):
    worst = 0.0
    for seed, J in enumerate(MATRICES[K]):
        a, b = (torch.from_numpy(np.abs(generator(seed + shift).standard_normal((K, 1))) + 0.1) for shift in (100, 200))
        apart = direction(method, a * J) + direction(method, b * J)
        worst = max(worst, float((direction(method, (a + b) * J) - apart).norm() / J.norm()))
    assert (worst < 1e-12) == linear
    assert linear or worst > 0.01


VARIANTS = [
    ("pcgrad", {}, (0.5848, 3.8012, 3.8012)),
    ("pcgrad", {"reduction": "mean"}, (0.2924, 1.9006, 1.9006)),
    ("cagrad", {"rescale": 0, "scale_by_num_tasks": False}, (0.1835, 1.2041, 1.2041)),
    ("cagrad", {"rescale": 1, "scale_by_num_tasks": False}, (0.1468, 0.9633, 0.9633)),
    ("cagrad", {"rescale": 2, "scale_by_num_tasks": False}, (0.1223, 0.8027, 0.8027)),
    ("cagrad", {}, (0.2936, 1.9266, 1.9266)),
    ("mgda", {}, (0, 1, 1)),
]


@pytest.mark.parametrize(("name", "fields", "d"), VARIANTS)
def test_published_variants(name, fields, d):
    J = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)
    assert direction(build("aggregators", name, **fields), J).numpy() == pytest.approx(d, abs=1e-4)
