"""ImageNet's exits on the twin: from files as from arrays, and what is refused."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build

_NETWORK = {"name": "msdnet_imagenet", "base": 2, "step": 1, "growth": 4, "width": 4}
_SETTINGS = {"network": _NETWORK, "epochs": 1, "exits": 3, "num_classes": 4, "size": 64, "batch_size": 8}


def test_files_and_arrays_give_the_same_batches(arrays, on_disk):
    folder, named = on_disk
    batches = []
    for own in (arrays, named):
        problem = build("problems", "imagenet_exits", arrays=own, folder=str(folder), **_SETTINGS)
        batches.append(list(problem.batches(np.random.default_rng(0), np.random.default_rng(1))))
    assert len(batches[0]) == 2
    for (images, labels), (others, same) in zip(*batches, strict=True):
        assert images.shape == (8, 64, 64, 3)
        assert torch.equal(images, others)
        assert torch.equal(labels, same)
    network = problem.network(torch.Generator().manual_seed(0))
    whole = build("problems", "imagenet_exits", arrays=arrays, **_SETTINGS).evaluate(network, "test")
    assert problem.evaluate(network, "test").metrics == whole.metrics


def test_what_is_wrong_is_said(arrays, on_disk, tmp_path):
    _, named = on_disk
    with pytest.raises(ValueError, match="`folder` must hold the pictures that the arrays name, found none at"):
        build("problems", "imagenet_exits", arrays=named, folder=str(tmp_path / "none"), **_SETTINGS)
    with pytest.raises(ValueError, match="`twin` must be false for pictures from files, found true"):
        build("problems", "imagenet_exits", arrays=named, folder=str(tmp_path), twin=True, **_SETTINGS)
    with pytest.raises(ValueError, match="`train_labels` must be less than 3, found 3"):
        build("problems", "imagenet_exits", arrays=arrays, **_SETTINGS | {"num_classes": 3})
