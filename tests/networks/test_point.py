"""Points in the plane: where they start, and who trains them."""

import numpy as np
import torch

from gradsurgery.core.discovery import build


def test_points_start_where_told_and_are_copied():
    starts = np.array([[1.0, 2.0], [3.0, 4.0]])
    network = build("networks", "point", starts=starts, num_tasks=3)
    starts[0] = 9.0
    outputs = network(torch.empty(0))
    assert len(outputs) == 3
    assert outputs[0].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert network.shared_parameters() == [network.theta]
    assert network.theta.dtype == torch.float64
