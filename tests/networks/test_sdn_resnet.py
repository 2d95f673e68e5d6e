"""The thin ResNet with exits: where they sit, what they train, and the published size of the body."""

import pytest
import torch

from gradsurgery.core.discovery import build

SMALL = {"num_classes": 5, "depth": 14, "width": 4}


def _size(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_body_has_the_size_of_resnet_56():
    network = build("networks", "sdn_resnet")
    assert _size(network.stem, network.blocks, network.heads[-1]) == 861_620
    assert network.exits == [3, 7, 11, 15, 19, 23]


def test_exits_sit_at_even_shares_of_the_work():
    network = build("networks", "sdn_resnet").eval()
    works = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda module, inputs, output: works.append(module.weight.numel() * output[0, 0].numel())
            )
    done = {}
    for index, block in enumerate(network.blocks):
        block.register_forward_hook(lambda *_, index=index: done.__setitem__(index, sum(works)))
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    shares = [done[place] / sum(works) for place in network.exits]
    assert shares == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.75, 0.9], abs=0.02)


@pytest.mark.parametrize(("num_tasks", "channels", "size"), [(1, 3, 32), (2, 1, 36), (4, 3, 32), (6, 3, 16)])
def test_one_output_per_exit(num_tasks, channels, size):
    network = build("networks", "sdn_resnet", num_tasks=num_tasks, channels=channels, size=size, **SMALL)
    outputs = network(torch.rand(2, channels, size, size))
    assert [output.shape for output in outputs] == [(2, 5)] * num_tasks
    assert len(network.exits) == num_tasks - 1
    assert network.exits == sorted(set(network.exits))
    assert len(network.blocks) - 1 not in network.exits


def test_a_first_step_of_two_is_a_network_for_half_the_size():
    halved = build("networks", "sdn_resnet", num_tasks=3, stride=2, **SMALL)
    half = build("networks", "sdn_resnet", num_tasks=3, size=16, **SMALL)
    assert halved.exits == half.exits
    assert {n: p.shape for n, p in halved.named_parameters()} == {n: p.shape for n, p in half.named_parameters()}
    half.load_state_dict(halved.state_dict())
    half.stem[0].stride = (2, 2)
    x = torch.rand(2, 3, 32, 32)
    for a, b in zip(halved.eval()(x), half.eval()(x), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="`size` must be at least 32, found size = 31"):
        build("networks", "sdn_resnet", size=31, stride=2)


@pytest.mark.parametrize("num_tasks", [2, 4])
def test_shared_is_what_more_than_one_exit_trains(num_tasks):
    network = build("networks", "sdn_resnet", num_tasks=num_tasks, **SMALL)
    count = dict.fromkeys(network.parameters(), 0)
    for k in range(num_tasks):
        network.zero_grad()
        network(torch.rand(4, 3, 32, 32))[k].square().sum().backward()
        for p in count:
            count[p] += p.grad is not None
    assert min(count.values()) == 1
    assert {p for p, times in count.items() if times > 1} == set(network.shared_parameters())


def test_an_exit_does_not_see_what_lies_behind_it():
    network = build("networks", "sdn_resnet", num_tasks=4, **SMALL).eval()
    x = torch.rand(2, 3, 32, 32)
    before = network(x)
    with torch.no_grad():
        for p in network.blocks[network.exits[1] + 1].parameters():
            p.add_(1.0)
    after = network(x)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False, False]


def test_an_inner_classifier_mixes_both_poolings():
    network = build("networks", "sdn_resnet", num_tasks=2, **SMALL)
    head = network.heads[0]
    x = torch.rand(2, head.linear.in_features // 16, 4 * head.window, 4 * head.window)
    for mix, pool in ((40.0, torch.nn.functional.max_pool2d), (-40.0, torch.nn.functional.avg_pool2d)):
        with torch.no_grad():
            head.mix.fill_(mix)
        torch.testing.assert_close(head(x), head.linear(pool(x, head.window).flatten(1)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_tasks": 0}, "`num_tasks` must be at least 1, found num_tasks = 0"),
        ({"num_tasks": 7}, "`num_tasks` must be at most the number of blocks, 6, found num_tasks = 7"),
        ({"depth": 15}, "`depth` must be 6 n \\+ 2 with n from 1, found depth = 15"),
        ({"depth": 2}, "`depth` must be 6 n \\+ 2 with n from 1, found depth = 2"),
        ({"width": 0}, "`width` must be at least 1, found width = 0"),
        ({"size": 8}, "`size` must be at least 16, found size = 8"),
        ({"channels": 0}, "`channels` must be at least 1, found channels = 0"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        build("networks", "sdn_resnet", **{"num_tasks": 2, **SMALL, **fields})
