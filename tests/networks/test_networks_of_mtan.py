"""The networks beside MTAN in its tables: published sizes, maps of the pictures' size, and who trains what."""

import pytest
import torch

from gradsurgery.core.discovery import build

ONE_TASK = 24_981_069  # parameters of a SegNet with one head of 13 classes, which the published sizes are multiples of
SIZES = {
    ("split_segnet", "variant", "wide"): (1.76, 1.76), ("split_segnet", "variant", "deep"): (2.03, 2.03),
    ("dense_segnet", "width", 64): (4.95, 3.63), ("cross_stitch", "width", 64): (3.00, 2.00),
    ("separate", "of", "mtan"): (4.59, 3.06),
}  # fmt: skip


def small(name, field, value, outputs=(5, 1, 3)):
    return build("networks", name, outputs=list(outputs), **{field: value} | {"width": 2})


@pytest.mark.parametrize(("name", "field", "value"), SIZES)
def test_the_published_sizes(name, field, value):
    for outputs, times in zip(((13, 1, 3), (7, 1)), SIZES[name, field, value], strict=True):
        with torch.device("meta"):
            network = build("networks", name, outputs=list(outputs), **{field: value})
        assert round(sum(p.numel() for p in network.parameters()) / ONE_TASK, 2) == times


@pytest.mark.parametrize(("name", "field", "value"), SIZES)
def test_one_map_per_task_and_shared_is_what_every_task_trains(name, field, value):
    network = small(name, field, value)
    assert [m.shape for m in network(torch.rand(2, 3, 37, 45))] == [(2, c, 37, 45) for c in (5, 1, 3)]
    reached = []
    for k in range(3):
        network.zero_grad()
        network(torch.rand(2, 3, 32, 32))[k].square().sum().backward()
        reached.append({id(p) for p in network.parameters() if p.grad is not None})
    assert set.union(*reached) == {id(p) for p in network.parameters()}
    shared = {id(p) for p in network.shared_parameters()}
    if name == "separate":
        assert not reached[0] & reached[1]
        assert shared == set.union(*reached), "listed as shared, though none is"
    else:
        assert set.intersection(*reached) == shared


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("split_segnet", {"variant": "tall"}, "`split_segnet.variant` must be one of 'wide', 'deep', found 'tall'"),
        ("cross_stitch", {"outputs": []}, "`outputs` must name at least one channel for each task"),
        ("dense_segnet", {"outputs": [3, 0]}, "`outputs` must name at least one channel for each task"),
        ("separate", {"of": "mtan"}, "`outputs` must be at least 1 for of = 'mtan', found outputs = 0"),
        ("separate", {"of": "celeba_cnn"}, "`num_tasks` must be at least 1 for of = 'celeba_cnn', found num_tasks = 0"),
    ],
)
def test_wrong_fields_are_refused(name, fields, message):
    with pytest.raises(ValueError, match=message):
        build("networks", name, **fields)
