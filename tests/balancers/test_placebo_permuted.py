"""The placebo that lets tasks swap names: a Latin square (with its rule: tests/rules/test_split_batches.py)."""

import numpy as np
import torch

from gradsurgery.core.discovery import build
from tests.contracts import generator


def test_every_row_gets_every_task_once():
    balancer, state = build("balancers", "placebo_permuted"), None
    square = []
    for _ in range(6):
        losses, state = balancer([torch.tensor(float(k)) for k in range(3)], {}, state, generator())
        square.append([int(loss) for loss in losses])
    assert square[:3] == [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    assert square[3:] == square[:3]
    assert np.array_equal(np.sort(np.array(square[:3]), axis=0), [[0] * 3, [1] * 3, [2] * 3])
