"""One output layer for all tasks: what is shared, and what tells the tasks apart."""

import pytest
import torch

from gradsurgery.core.discovery import build


def test_a_task_is_the_output_layer_on_features_moved_by_its_embedding():
    network = build("networks", "tied_head", num_tasks=3, width=2)
    x = torch.randn(5, 1, 28, 28)
    outputs = network(x)
    assert [output.shape for output in outputs] == [(5, 10)] * 3
    for output, embedding in zip(outputs, network.embeddings, strict=True):
        torch.testing.assert_close(output, network.head(torch.relu(network.trunk(x) + embedding)))


def test_all_but_the_embeddings_is_shared():
    network = build("networks", "tied_head", width=2)
    shared = {id(p) for p in network.shared_parameters()}
    assert {name for name, p in network.named_parameters() if id(p) not in shared} == {"embeddings.0", "embeddings.1"}


def test_without_spread_the_tasks_start_as_one():
    first, second = build("networks", "tied_head", width=2, spread=0.0)(torch.randn(4, 1, 28, 28))
    assert torch.equal(first, second)


def test_wrong_fields_are_refused():
    with pytest.raises(ValueError, match=r"`spread` must be at least 0, found spread = -1\.0"):
        build("networks", "tied_head", spread=-1.0)
    with pytest.raises(ValueError, match="`size` must be at least 7, found size = 6"):
        build("networks", "tied_head", size=6)
