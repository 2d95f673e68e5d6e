"""Recon: which layers part, what the streams compute, and what an aggregator still sees."""

import copy
import math
import re
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.core import discovery
from gradsurgery.core.interfaces import Network
from gradsurgery.core.layers import as_evidence, shared_layers
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators

# Multi-Fashion+MNIST, ResNet-18: the published ranking's scores, by the names of our network.
_STAGES = {"layer1": (4, 5), "layer2": (6, 7), "layer3": (8, 9), "layer4": (10, 11)}
_PARTS = {
    "conv1": "branch.0",
    "bn1": "branch.1",
    "conv2": "branch.3",
    "bn2": "branch.4",
    "downsample.1": "shortcut.1",
}
PUBLISHED = {
    "bn1": 4427, "layer1.0.bn1": 4168, "layer1.1.bn1": 3793, "layer1.0.bn2": 3402, "layer1.1.bn2": 3028,
    "layer2.0.bn1": 2193, "layer2.1.bn1": 2088, "conv1": 1944, "layer2.0.downsample.1": 1829, "layer2.0.bn2": 1785,
    "layer2.1.bn2": 1448, "layer1.0.conv1": 889, "layer3.0.bn1": 886, "layer3.1.bn1": 791, "layer4.1.bn1": 761,
    "layer4.0.bn1": 696, "layer3.0.downsample.1": 566, "layer3.0.bn2": 517, "layer4.1.bn2": 435, "layer3.1.bn2": 423,
    "layer4.0.bn2": 349, "layer4.0.downsample.1": 340, "layer1.0.conv2": 90, "layer1.1.conv1": 69, "layer1.1.conv2": 52,
}  # fmt: skip


def _ours(name):
    if name in ("conv1", "bn1"):
        return {"conv1": "trunk.0", "bn1": "trunk.1"}[name]
    stage, block, part = name.split(".", 2)
    return f"trunk.{_STAGES[stage][int(block)]}.{_PARTS[part]}"


class Chain(Network):
    """Convolution, normalisation, a block with a plain shortcut, linear; heads with a normalisation."""

    def __init__(self, num_tasks=2, inplace=False):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.first = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=inplace)
        self.inner = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.second = nn.BatchNorm2d(3)
        self.last = nn.Linear(3, 4)
        self.heads = nn.ModuleList(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)) for _ in range(num_tasks))

    def forward(self, inputs):
        x = self.relu(self.first(self.stem(inputs)))
        x = x + self.second(self.inner(x))
        x = self.last(x.mean(dim=(2, 3)))
        return tuple(head(x) for head in self.heads)

    def shared_parameters(self):
        return [p for name, p in self.named_parameters() if not name.startswith("heads")]


class Attention(Network):
    """Modules of one task each between shared ones, as in MTAN."""

    def __init__(self, num_tasks=3):
        super().__init__()
        self.below, self.above = nn.Linear(4, 4), nn.Linear(4, 4)
        self.masks = nn.ModuleList(nn.Linear(4, 4) for _ in range(num_tasks))
        self.fuse = nn.Linear(4, 4)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, inputs):
        x = torch.tanh(self.below(inputs))
        y = torch.tanh(self.above(x))
        return tuple(self.fuse(torch.cat([torch.sigmoid(mask(x)) * y], dim=1)) for mask in self.masks)

    def shared_parameters(self):
        return [*self.below.parameters(), *self.above.parameters(), *self.fuse.parameters()]


class Odd(Network):
    """One shared layer, then whatever `body` does with it."""

    def __init__(self, body, **modules):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.body = body
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, inputs):
        return self.body(self, inputs)

    def shared_parameters(self):
        return list(self.parameters())


class Value(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))

    def forward(self, inputs):
        return self.weight + 0 * inputs


class Toy(Network):
    """x, shared by all tasks."""

    def __init__(self, num_tasks=2):
        super().__init__()
        self.x = Value(0.0)
        self.num_tasks = num_tasks

    def forward(self, inputs):
        return (self.x(inputs),) * self.num_tasks

    def shared_parameters(self):
        return [self.x.weight]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def draws(seed=0):
    return np.random.default_rng(seed)


def recon(**fields):
    return discovery.build("transforms", "recon", **fields)


def split(network, *names, branch_init="copy", seed=0):
    """`network` with the layers `names` split, by evidence that ranks them first."""
    layers = list(shared_layers(network))
    assert set(names) <= set(layers)
    counts = np.array([[int(name in names)] for name in layers])
    transform = recon(k=len(names), branch_init=branch_init)
    return transform(network, as_evidence(layers, [0.0], [counts]), draws(seed))


def size(parameters):
    return sum(p.numel() for p in parameters)


def calls(network):
    """Counts the calls of every module from now on."""
    counter = Counter()
    for name, module in network.named_modules():
        module.register_forward_hook(partial(_count, counter, name))
    return counter


def _count(counter, name, *_):
    counter[name] += 1


def squares(outputs, targets=None):
    return [(output - (0.0 if targets is None else targets[k])).square().mean() for k, output in enumerate(outputs)]


def gradients(network):
    return {name: p.grad for name, p in network.named_parameters()}


PICTURES = torch.linspace(-1, 1, 4 * 36 * 36).sin().view(4, 1, 36, 36)


# ---- 1, 13, 15: what stays as it was, and what is refused


def test_k_0_is_the_network_itself_and_draws_nothing():
    network, state = Chain(), torch.get_rng_state()
    assert recon(k=0)(network, None, draws()) is network
    assert recon(k=0, selection="random_parameters")(network, None, draws()) is network
    assert torch.equal(torch.get_rng_state(), state)


def test_one_task_has_nothing_to_split():
    network = Chain(num_tasks=1)
    assert split(network, "stem") is network


@pytest.mark.parametrize("branch_init", ["copy", "independent"])
def test_the_network_handed_in_and_the_global_generators_are_left_alone(branch_init):
    network = Chain()
    before, state = copy.deepcopy(network), (torch.get_rng_state(), np.random.get_state()[1].copy())  # noqa: NPY002
    made = split(network, "stem", "inner", branch_init=branch_init)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(1.0)
    assert repr(network) == repr(before)
    for (name, value), expected in zip(network.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"k": -1}, "`k` must be non-negative, found k = -1."),
        ({"k": 1.5}, "`recon.k` must be a whole number, found 1.5."),
        ({"k": 1, "threshold": 0.1}, "`threshold` must be above -1 and at most 0, found threshold = 0.1."),
        ({"k": 1, "threshold": -1.0}, "`threshold` must be above -1 and at most 0"),
        ({"k": 1, "selection": "best"}, "`recon.selection` must be one of 'top', "),
        ({"k": 1, "branch_init": "fresh"}, "`recon.branch_init` must be one of 'independent', 'copy', found 'fresh'."),
        ({}, "`recon.k` must be given"),
    ],
)
def test_fields_are_checked(fields, says):
    with pytest.raises(ValueError, match="must be") as caught:
        recon(**fields)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (
            "selection",
            "`selection` must be 'top', 'random', 'random_parameters', 'first' or 'last', found selection = 'b'",
        ),
        ("branch_init", "`branch_init` must be 'independent' or 'copy', found branch_init = 'b'"),
    ],
)
def test_choices_are_checked_without_discovery_too(field, says):
    transform = recon(k=1)
    object.__setattr__(transform, field, "b")  # the constructor is guarded by the type check of these tests
    with pytest.raises(ValueError, match=says):
        transform.__post_init__()


def test_more_layers_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"`k` must be at most the number of shared layers, 5, found k = 6\."):
        recon(k=6, selection="random")(Chain(), None, draws())


@pytest.mark.parametrize("k", [5, 6])
def test_a_k_that_leaves_nothing_shared_is_refused_before_any_work(k):
    says = f"`k` must be less than the number of shared layers, 5, so that something stays shared, found k = {k}."
    with pytest.raises(ValueError, match=re.escape(says)):
        recon(k=k).check(Chain)
    recon(k=4).check(Chain)
    recon(k=0).check(_unwanted)


def _unwanted():
    raise AssertionError


def test_top_needs_evidence_of_this_network_at_this_threshold():
    network = Chain()
    names = list(shared_layers(network))
    counts = [np.zeros((5, 2), dtype=np.int64)]
    good = as_evidence(names, [0.0, -0.1], counts)
    recon(k=2, threshold=-0.1)(network, good, draws())
    for selection in ("top", "random_parameters"):
        with pytest.raises(ValueError, match=f"`evidence` must be given for selection = '{selection}', found none."):
            recon(k=2, selection=selection)(network, None, draws())
    with pytest.raises(ValueError, match=r"must be one that was counted, 0\.0, -0\.1, found threshold = -0\.2\."):
        recon(k=2, threshold=-0.2)(network, good, draws())
    for other in (["stemm", *names[1:]], names[1:], [*names, "more"]):
        wrong = as_evidence(other, [0.0], [np.zeros((len(other), 1), dtype=np.int64)])
        with pytest.raises(ValueError, match="`evidence` must be of a network with the same layers"):
            recon(k=2)(network, wrong, draws())


def test_a_network_is_not_split_twice_by_the_same_evidence():
    made = split(Chain(), "stem")
    assert list(shared_layers(made)) == ["first", "inner", "second", "last"]
    counts = as_evidence(list(shared_layers(Chain())), [0.0], [np.eye(5, 1, dtype=np.int64)])
    with pytest.raises(ValueError, match=r"with the same layers, found a difference: \['stem'\]"):
        recon(k=1)(made, counts, draws())


# ---- 2, 3: sizes


def test_the_published_resnet_grows_by_the_published_number():
    with torch.device("meta"):
        network = discovery.build("networks", "resnet")
    layers = list(shared_layers(network))
    scores = {_ours(name): score for name, score in PUBLISHED.items()}
    assert set(scores) <= set(layers)
    counts = np.array([[scores.get(name, 0)] for name in layers])
    made = recon(k=25)(network, as_evidence(layers, [0.0], [counts]), draws())
    assert size(network.parameters()) == 11_223_560
    assert size(made.parameters()) - size(network.parameters()) == 160_192
    assert round(size(made.parameters()) * 4 / 2**20, 4) == 43.4256
    assert (len(network.shared_parameters()), len(made.shared_parameters())) == (62, 17)


def test_forty_tasks_with_a_colour_stem_grow_by_the_published_number():
    with torch.device("meta"):
        network = discovery.build("networks", "resnet", num_tasks=40)
        network.trunk[0] = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        made = split(network, *map(_ours, PUBLISHED))
    assert size(made.parameters()) - size(network.parameters()) == 39 * 166_464


NETWORKS = [
    ("lenet", {"num_tasks": 3}),
    ("lenet", {"variant": "cagrad"}),
    ("mlp", {"num_tasks": 4, "hidden": [5, 4, 3]}),
    ("resnet", {"width": 2, "num_tasks": 3}),
    ("segnet", {"width": 2, "outputs": [3, 1, 2]}),
    ("mtan", {"width": 2, "outputs": [3, 1]}),
]


@pytest.mark.parametrize(("name", "fields"), NETWORKS)
def test_size_and_function_for_any_network_and_any_layers(name, fields):
    """The network grows by (K - 1) times the chosen layers, and equal copies compute what it computed."""
    network = discovery.build("networks", name, **fields)
    inputs = torch.rand(3, 3, 40, 48) if name in ("segnet", "mtan") else PICTURES
    sizes = {layer: size(own) for layer, own in shared_layers(network).items()}
    expected = network.eval()(inputs)
    for k in {1, len(sizes) // 2, len(sizes)}:
        for seed in range(2):
            made = recon(k=k, selection="random", branch_init="copy")(network, None, draws(seed))
            chosen = set(sizes) - set(shared_layers(made))
            assert len(chosen) == k
            added = sum(sizes[layer] for layer in chosen) * (len(expected) - 1)
            assert size(made.parameters()) == size(network.parameters()) + added
            assert size(made.shared_parameters()) == sum(sizes.values()) - sum(sizes[layer] for layer in chosen)
            for found, wanted in zip(made(inputs), expected, strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


# ---- 4, 5, 6, 7: streams


def test_equal_copies_compute_the_same_to_the_bit_in_evaluation_and_in_training():
    network = Chain(num_tasks=3)
    made = split(network, "inner", "last")
    for mode in (False, True):
        for found, wanted in zip(made.train(mode)(PICTURES), network.train(mode)(PICTURES), strict=True):
            assert torch.equal(found, wanted)


def test_normalisation_statistics_move_once_per_stream():
    network = Chain(num_tasks=3)
    made = split(network, "inner")
    made(PICTURES)
    network(PICTURES)
    state, plain = made.state_dict(), network.state_dict()
    assert state["first.num_batches_tracked"] == 1, "before the split: once"
    assert state["second.num_batches_tracked"] == 3, "shared behind the split: once per task"
    assert all(state[f"heads.{t}.0.num_batches_tracked"] == 1 for t in range(3)), "heads: for their own task only"
    assert torch.equal(state["first.running_mean"], plain["first.running_mean"])
    mean = 10 * plain["second.running_mean"]  # of the batch; momentum is 0.1
    torch.testing.assert_close(state["second.running_mean"], (1 - 0.9**3) * mean)
    made = split(network, "second")
    made(PICTURES)
    assert [made.state_dict()[f"second.{t}.num_batches_tracked"] for t in range(3)] == [2, 2, 2]


def test_copies_have_statistics_of_their_own():
    made = split(Chain(), "stem", "first", branch_init="independent")
    made(PICTURES)
    state = made.state_dict()
    assert not torch.equal(state["first.0.running_mean"], state["first.1.running_mean"])


@pytest.mark.parametrize("inplace", [False, True])
def test_a_shortcut_of_one_stream_reaches_every_task(inplace):
    """With the branch inside the block at zero, every task must read the block's input."""
    network = Chain(num_tasks=3, inplace=inplace)
    made = split(network, "inner", "second").eval()
    with torch.no_grad():
        for copied in made.inner:
            copied.weight.zero_()
        x = torch.relu(made.first(made.stem(PICTURES)))
        outputs = made(PICTURES)
        for t in range(3):
            assert torch.equal(outputs[t], made.heads[t](made.last(x.mean(dim=(2, 3)))))


def test_streams_against_one_network_per_task():
    """Each output is that of a whole network with the weights of its task, in values and in gradients."""
    made = split(Chain(num_tasks=2), "inner", "last", branch_init="independent").double().eval()
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.1 * torch.randn_like(p))
    x = PICTURES.double()
    for t in range(2):
        alone = Chain(num_tasks=2).double().eval()
        state = {
            name: made.state_dict().get(name, made.state_dict().get(name.replace(".", f".{t}.", 1)))
            for name in alone.state_dict()
        }
        alone.load_state_dict(state)
        torch.testing.assert_close(made(x)[t], alone(x)[t])
        made.zero_grad()
        made(x)[t].square().sum().backward()
        alone(x)[t].square().sum().backward()
        for name, p in alone.named_parameters():
            own = gradients(made).get(name, gradients(made).get(name.replace(".", f".{t}.", 1)))
            assert (own is None) == (p.grad is None), name
            if own is not None:
                torch.testing.assert_close(own, p.grad)


def test_what_lies_before_the_split_runs_once_and_what_lies_behind_once_per_task():
    made = split(Chain(num_tasks=3), "inner")
    counted = calls(made)
    made(PICTURES)
    expected = {"": 1, "stem": 1, "first": 1, "relu": 1, "second": 3, "last": 3}
    expected |= {f"inner.{t}": 1 for t in range(3)}
    expected |= {f"heads.{t}.{i}": 1 for t in range(3) for i in range(2)}
    assert counted == expected


def test_modules_of_one_task_in_the_middle_run_for_their_task_only():
    network = Attention()
    for chosen, above, fuse in (("below", 3, 3), ("above", 0, 3), ("fuse", 1, 0)):
        made = split(network, chosen)
        counted = calls(made)
        outputs = made(torch.rand(5, 4))
        assert len(outputs) == 3
        assert [counted[f"masks.{t}"] for t in range(3)] == [1, 1, 1]
        assert (counted["above"], counted["fuse"]) == (above, fuse)
        assert [counted[f"{chosen}.{t}"] for t in range(3)] == [1, 1, 1]
    assert torch.equal(made.unused, network.unused)
    assert "unused" in made.state_dict()


def _detour(self, x):
    self.dead(x)
    return self.layer(x), self.layer(x)


def test_what_no_output_needs_is_not_run():
    made = split(Odd(_detour, dead=nn.Linear(2, 2)), "layer")
    counted = calls(made)
    made(torch.rand(3, 2))
    assert counted == {"": 1, "layer.0": 1, "layer.1": 1}
    assert len(made.shared_parameters()) == 2, "it stays in the network nevertheless"


def test_a_loss_reaches_no_copy_of_another_task():
    made = split(Chain(num_tasks=3), "stem", "second", "last")
    for t in range(3):
        made.zero_grad()
        made(PICTURES)[t].sum().backward()
        for name, gradient in gradients(made).items():
            first, second, *_ = [*name.split("."), ""]
            mine = not second.isdigit() or int(second) == t
            assert (gradient is not None) == mine, f"{first} {name}"


def test_a_layer_called_twice_is_one_layer_of_each_task():
    network = Odd(lambda self, x: (self.a(self.layer(self.layer(x))), self.b(x)), a=nn.Tanh(), b=nn.Identity())
    made = split(network, "layer")
    assert [n for n, _ in made.named_parameters()] == [
        f"layer.{t}.{part}" for t in range(2) for part in ("weight", "bias")
    ]
    x = torch.rand(3, 2)
    for found, wanted in zip(made(x), network(x), strict=True):
        assert torch.equal(found, wanted)


# ---- networks that cannot be split


def _steered(self, x):
    return (self.layer(x),) * (2 if x.sum() > 0 else 3)


def _added_by_method(self, x):
    return (torch.tanh(x).add_(self.layer(x)),) * 2


def _forgotten(self, x):
    y = self.layer(x)
    y.relu_()
    return y, y


def _assigned(self, x):
    y = self.layer(x)
    y[0] = 0.0
    return y, y


def _read(self, x):
    return nn.functional.linear(x, self.layer.weight), self.layer(x)


def _tied(self, x):
    return self.layer(x), self.other(x)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (_steered, "`network` must be one that torch.fx can trace, found Odd: "),
        (lambda self, x: self.layer(x), "`network` must return a tuple with one output per task"),
        (lambda self, x: (self.layer(x), (self.layer(x),)), "`network` must return a tuple with one output per task"),
        (_added_by_method, "`network` must not change values in place where tasks part"),
        (_forgotten, "`network` must not change values in place where tasks part"),
        (_assigned, "`network` must be one that torch.fx can trace, found Odd: "),
        (_read, "`network` must call the layer layer as a module, found another use"),
        (lambda self, x: (x, x), "`network` must call the layer layer as a module, found another use"),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_reason(body, says):
    with pytest.raises(ValueError, match="`network` must") as caught:
        recon(k=1, selection="first")(Odd(body), None, draws())
    assert says in str(caught.value)


def _added(self, x):
    x = torch.tanh(x)
    x += self.layer(x)
    return x, -x


def test_plus_equals_adds_to_every_stream_alike():
    network = Odd(_added)
    made = split(network, "layer")
    x = torch.rand(3, 2)
    for found, wanted in zip(made(x), network(x), strict=True):
        assert torch.equal(found, wanted)


def test_tied_layers_are_refused():
    network = Odd(_tied, other=nn.Linear(2, 2))
    network.other.weight = network.layer.weight
    with pytest.raises(
        ValueError, match=r"must not tie a chosen layer's parameters to another layer, found \['other'\]"
    ):
        recon(k=1, selection="first")(network, None, draws())


def test_a_layer_inside_a_module_of_torch_that_is_not_called_is_refused():
    network = Odd(lambda self, x: (self.attention(x, x, x)[0],) * 2, attention=nn.MultiheadAttention(2, 1))
    with pytest.raises(ValueError, match=r"must call the layer attention\.out_proj as a module"):
        recon(k=1, selection="last")(network, None, draws())


# ---- copies


def test_independent_copies_of_convolutions_differ_and_have_the_same_law():
    network = discovery.build("networks", "resnet", width=4)
    made = recon(k=41, selection="first")(network, None, draws())
    state, plain = made.state_dict(), network.state_dict()
    for name, value in plain.items():
        if name.startswith("heads"):
            continue
        layer, _, part = name.rpartition(".")
        first, second = state[f"{layer}.0.{part}"], state[f"{layer}.1.{part}"]
        assert torch.equal(first, value), name
        assert second.stride() == value.stride()
        if value.ndim == 4:
            assert not torch.equal(first, second), name
            assert torch.equal(first.flatten().sort().values, second.flatten().sort().values)
            assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 5 / math.sqrt(value.numel())
        else:
            assert torch.equal(first, second), name


def test_copies_of_several_tasks_differ_from_each_other_and_depend_on_the_seed_alone():
    network = Chain(num_tasks=3)
    first, again, other = (
        split(network, "inner", branch_init="independent", seed=seed).state_dict() for seed in (0, 0, 1)
    )
    assert len({tuple(first[f"inner.{t}.weight"].flatten().tolist()) for t in range(3)}) == 3
    assert torch.equal(first["inner.1.weight"], again["inner.1.weight"])
    assert not torch.equal(first["inner.1.weight"], other["inner.1.weight"])


# ---- selections


def _sized():
    """A perceptron whose layers have 110, 55, 24 and 10 parameters."""
    return discovery.build("networks", "mlp", in_features=10, hidden=[10, 5, 4, 2])


def _chosen(network, evidence=None, seed=0, **fields):
    return sorted(set(shared_layers(network)) - set(shared_layers(recon(**fields)(network, evidence, draws(seed)))))


def test_first_and_last_follow_registration():
    assert _chosen(Chain(), k=2, selection="first") == ["first", "stem"]
    assert _chosen(Chain(), k=2, selection="last") == ["last", "second"]


def test_top_takes_the_highest_scores_and_of_equal_ones_the_first():
    network = Chain()
    scores = {"second": [2], "last": [7], "inner": [2], "first": [1], "stem": [2]}
    for k, names in ((1, ["last"]), (2, ["last", "stem"]), (3, ["inner", "last", "stem"])):
        assert _chosen(network, {"thresholds": [0.0], "scores": scores}, k=k) == names


def test_top_looks_at_its_own_threshold():
    names = list(shared_layers(Chain()))
    counts = np.array([[9, 0], [8, 0], [7, 1], [6, 3], [5, 2]])
    evidence = as_evidence(names, [0.0, -0.1], [counts])
    assert _chosen(Chain(), evidence, k=2) == ["first", "stem"]
    assert _chosen(Chain(), evidence, k=2, threshold=-0.1) == ["last", "second"]


def test_random_layers_depend_on_the_seed_and_need_no_evidence():
    drawn = [tuple(_chosen(Chain(), k=2, selection="random", seed=seed)) for seed in range(40)]
    assert drawn == [tuple(_chosen(Chain(), k=2, selection="random", seed=seed)) for seed in range(40)]
    assert len(set(drawn)) == 10, "all pairs of five layers"


def test_random_parameters_first_exceed_the_budget_of_the_top():
    network = _sized()
    sizes = {name: size(own) for name, own in shared_layers(network).items()}
    assert list(sizes.values()) == [110, 55, 24, 10]
    scores = {name: [i] for i, name in enumerate(sizes)}
    evidence = {"thresholds": [0.0], "scores": scores}
    fields = {"k": 2, "selection": "random_parameters"}  # budget: 24 + 10
    drawn = {tuple(_chosen(network, evidence, seed=seed, **fields)) for seed in range(40)}
    assert len(drawn) > 3
    for names in drawn:
        spent = [sizes[name] for name in names]
        assert sum(spent) > 34
        assert any(sum(spent) - last <= 34 for last in spent), "one layer less would have been within"
    everything = _chosen(network, evidence, k=4, selection="random_parameters")
    assert everything == sorted(sizes)


# ---- 11, 12: what training sees


def test_the_papers_toy_goes_down_where_the_shared_step_stands_still():
    targets = (1.0, -1.0)
    network, x = Toy(), torch.zeros(())
    made = recon(k=1, selection="first")(network, None, draws())
    sums = []
    for trained, weights in ((network, (0.5, 0.5)), (made, (1.0, 1.0))):
        losses = [(o - t).square() / 2 for o, t in zip(trained(x), targets, strict=True)]
        sum(w * loss for w, loss in zip(weights, losses, strict=True)).backward()
        with torch.no_grad():
            for p in trained.parameters():
                p.sub_(0.1 * p.grad)
            sums.append(sum(((o - t).square() / 2).item() for o, t in zip(trained(x), targets, strict=True)))
    assert sums == pytest.approx([1.0, 0.81])
    assert [p.item() for p in made.parameters()] == pytest.approx([0.1, -0.1])


@pytest.mark.parametrize("method", ["pcgrad", "cagrad", "mgda", "sam_gs", "gcond", "sum"])
def test_methods_see_what_is_shared_and_leave_the_rest_to_its_own_loss(method):
    made = split(Chain(num_tasks=2), "inner", "first", branch_init="independent")
    plain = copy.deepcopy(made)
    engine = GradientSurgery(made.shared_parameters(), build(method))
    losses = squares(made(PICTURES), (1.0, -1.0))
    assert engine.backward(losses, diagnose=True)
    sum(squares(plain(PICTURES), (1.0, -1.0))).backward()
    shared = {id(p) for p in made.shared_parameters()}
    assert engine.jacobian.shape == (2, size(made.shared_parameters()))
    assert size(made.shared_parameters()) == 3 * 9 + 3 + 6 + 16
    for (name, p), q in zip(made.named_parameters(), plain.parameters(), strict=True):
        if id(p) not in shared or method == "sum":
            torch.testing.assert_close(p.grad, q.grad, msg=name)


def test_with_every_layer_split_the_summed_loss_trains_each_task_alone():
    network = Chain(num_tasks=2)
    made = recon(k=5, selection="last", branch_init="copy")(network, None, draws())
    assert made.shared_parameters() == []
    sum(squares(made(PICTURES), (1.0, -1.0))).backward()
    for t in range(2):
        network.zero_grad()
        squares(network(PICTURES), (1.0, -1.0))[t].backward()
        for name, p in network.named_parameters():
            own = gradients(made).get(name, gradients(made).get(name.replace(".", f".{t}.", 1)))
            if p.grad is not None:
                torch.testing.assert_close(own, p.grad)


def _learner(arrays, method, network, seed=0):
    settings = {"network": {"name": network}, "epochs": 2, "batch_size": 16, "optimizer": "sgd", "lr": 0.1}
    settings["network"] |= {"variant": "cagrad"} if network == "lenet" else {"width": 2}
    problem = discovery.build("problems", "overlay", arrays=arrays, **settings, momentum=0.9)
    generators = Generators(seed)
    made = recon(k=3, selection="random")(problem.network(generators.init), None, draws(1))
    rule, balancer = discovery.build("rules", "joint"), discovery.build("balancers", "equal")
    return Learner(problem, made, rule, balancer, build(method), generators, diagnose_every=1)


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    made = {}
    for name, n in (("train", 48), ("val", 16), ("test", 16)):
        made[f"{name}_images"] = rng.integers(0, 255, (n, 36, 36)).astype(np.uint8)
        made[f"{name}_labels"] = rng.integers(0, 10, (n, 2)).astype(np.uint8)
    return made


@pytest.mark.parametrize(("method", "network"), [("sum", "resnet"), ("cagrad", "lenet"), ("gcond", "lenet")])
def test_a_killed_run_goes_on_to_the_same_bits(arrays, method, network, tmp_path):
    whole = _learner(arrays, method, network)
    rows = [whole.epoch(), whole.epoch()]
    killed = _learner(arrays, method, network)
    assert killed.epoch() == rows[0]
    torch.save(killed.state_dict(), tmp_path / "checkpoint.pt")
    resumed = _learner(arrays, method, network)
    resumed.load_state_dict(torch.load(tmp_path / "checkpoint.pt"))
    assert resumed.epoch() == rows[1]
    for found, wanted in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(found, wanted)


# ---- what else is done with networks


def test_a_deep_copy_is_a_network_of_its_own():
    made = split(Chain(), "inner").eval()
    twin = copy.deepcopy(made)
    before = [o.detach().clone() for o in made(PICTURES)]
    with torch.no_grad():
        for p in made.parameters():
            p.zero_()
    for found, wanted in zip(twin(PICTURES), before, strict=True):
        assert torch.equal(found, wanted)
    own = {id(p) for p in twin.parameters()}
    assert all(id(p) in own for p in twin.shared_parameters())


def test_functional_call_replaces_shared_and_copied_parameters():
    made = split(Chain(), "inner").eval()
    zeros = {name: torch.zeros_like(p) for name, p in made.named_parameters() if name.startswith(("inner.1", "last"))}
    outputs = torch.func.functional_call(made, zeros, (PICTURES,))
    other = copy.deepcopy(made)
    other.load_state_dict(made.state_dict() | zeros)
    for found, wanted in zip(outputs, other(PICTURES), strict=True):
        assert torch.equal(found, wanted)


def test_names_of_what_was_not_copied_stay_and_moves_to_another_type_reach_all():
    network = Chain()
    made = split(network, "inner")
    kept = [name for name in network.state_dict() if not name.startswith("inner")]
    assert [name for name in made.state_dict() if not name.startswith("inner")] == kept
    made = made.double()
    assert {p.dtype for p in made.parameters()} == {torch.float64}
    assert [o.dtype for o in made(PICTURES.double())] == [torch.float64] * 2
    assert made.training
    assert split(Chain().eval(), "inner").training is False
