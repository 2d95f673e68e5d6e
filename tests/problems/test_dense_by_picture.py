"""The dense problems judged picture by picture: the same losses as today's, other numbers for classes alone."""

import numpy as np
import torch

from gradsurgery.core.discovery import build
from gradsurgery.core.seeding import Generators

RNG = np.random.default_rng(0)


def test_a_problem_trains_and_is_judged_by_picture():
    maps = {"segmentation": (32, 32), "depth": (32, 32, 1)}
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = RNG.random((n, 32, 32, 3)).astype(np.float32)
        arrays[f"{split}_segmentation"] = RNG.integers(-1, 7, (n, *maps["segmentation"])).astype(np.int8)
        arrays[f"{split}_depth"] = RNG.uniform(0.5, 9, (n, *maps["depth"])).astype(np.float32)
    settings = {"scene": "cityscapes", "network": {"name": "segnet", "width": 1}, "epochs": 1, "batch_size": 2}
    own, today = (build("problems", name, arrays=arrays, **settings) for name in ("dense_by_picture", "dense"))
    network, generators = own.network(torch.Generator().manual_seed(0)), Generators(0)
    batches = list(own.batches(generators.order, generators.augmentation))
    losses = own.losses(network, batches[0])
    assert [a.item() for a in losses] == [b.item() for b in today.losses(network, batches[0])]
    ours, theirs = own.evaluate(network, "test"), today.evaluate(network, "test")
    assert set(ours.metrics) == set(theirs.metrics)
    assert ours.metrics["segmentation.miou"] != theirs.metrics["segmentation.miou"]
    assert ours.metrics["depth.absolute_error"] == theirs.metrics["depth.absolute_error"]
    assert ours.examples["segmentation.miou"].shape == (3,)
