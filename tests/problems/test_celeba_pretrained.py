"""CelebA on given weights: every number of them in its place, in every trunk, and drawn heads."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.problems.celeba import twin
from gradsurgery.problems.celeba_pretrained import packed, prepare

RNG = np.random.default_rng(0)
WIDTH = 2


def published():
    """A ResNet-18 of width 2 by torchvision's names, in an order of its own, with what is left out."""
    state = {"fc.weight": torch.zeros(3, 3), "bn1.num_batches_tracked": torch.tensor(7)}

    def put(conv, norm, before, after, kernel):
        for part in ("running_var", "running_mean", "bias", "weight"):
            state[f"{norm}.{part}"] = torch.tensor(RNG.random(after), dtype=torch.float32)
        state[f"{conv}.weight"] = torch.tensor(RNG.random((after, before, kernel, kernel)), dtype=torch.float32)

    put("conv1", "bn1", 3, WIDTH, 7)
    before = WIDTH
    for stage, after in enumerate((WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            if stage > 1 and block == 0:
                put(f"{name}.downsample.0", f"{name}.downsample.1", before, after, 1)
            put(f"{name}.conv1", f"{name}.bn1", before if block == 0 else after, after, 3)
            put(f"{name}.conv2", f"{name}.bn2", after, after, 3)
        before = after
    return state


@pytest.fixture(scope="module")
def made():
    state = published()
    raw = {"faces": twin(8, 4, 4, seed=0), "weights": {"trunk": packed(state)}}
    return state, prepare(raw, {"left": "faces", "right": "weights", "seed": 0})


def problem(arrays, **network):
    fields = {"name": "celeba_resnet", "width": WIDTH, **network}
    return build("problems", "celeba_pretrained", arrays=arrays, network=fields, epochs=1, batch_size=4)


def test_every_number_is_in_its_place(made):
    state, arrays = made
    trunk = problem(arrays).network(torch.Generator().manual_seed(0)).trunk
    for ours, theirs in {
        "0.weight": "conv1.weight", "1.running_var": "bn1.running_var", "4.branch.0.weight": "layer1.0.conv1.weight",
        "5.branch.4.bias": "layer1.1.bn2.bias", "6.shortcut.0.weight": "layer2.0.downsample.0.weight",
        "6.shortcut.1.running_mean": "layer2.0.downsample.1.running_mean",
        "11.branch.3.weight": "layer4.1.conv2.weight",
    }.items():  # fmt: skip
        assert torch.equal(trunk.state_dict()[ours], state[theirs]), ours
    assert len(arrays["trunk"]) == sum(v.numel() for n, v in state.items() if n[:2] != "fc") - 1


def test_each_of_forty_networks_starts_there_and_heads_are_drawn(made):
    fields = {"name": "separate", "of": "celeba_resnet"}
    one, other = (problem(made[1], **fields).network(torch.Generator().manual_seed(s)) for s in (0, 1))
    first = one.networks[0].trunk.state_dict()["0.weight"]
    assert all(torch.equal(each.trunk.state_dict()["0.weight"], first) for each in (*one.networks, *other.networks))
    assert not torch.equal(one.networks[0].heads[0].weight, other.networks[0].heads[0].weight)


def test_a_step_can_be_taken_and_without_arrays_nothing_is_loaded(made):
    own = problem(made[1])
    network = own.network(torch.Generator().manual_seed(0))
    images, labels = (torch.from_numpy(made[1][f"train_{kind}"][:4]) for kind in ("images", "labels"))
    losses = own.losses(network, (images, labels))
    torch.stack(losses).sum().backward()
    assert len(losses) == 40
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert problem({}).network(torch.Generator().manual_seed(0)).trunk[0].weight.shape == (WIDTH, 3, 7, 7)


def test_other_networks_and_wrong_sizes_are_refused(made):
    with pytest.raises(ValueError, match="`network` must be celeba_resnet, or separate of it, to be pre-trained"):
        problem({}, name="celeba_cnn")
    with pytest.raises(ValueError, match=r"`trunk` must hold the \d+ numbers of the network, found \(5,\)"):
        problem({**made[1], "trunk": np.zeros(5, np.float32)})
