"""Recon on a module of one's own: the scores of a known training, and the network that comes out of them."""

import copy

import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build, recon
from gradsurgery.core.layers import conflict_counts, layer_grams, pair_cosines, shared_layers
from gradsurgery.core.seeding import Generators
from gradsurgery.networks.resnet import ResNet
from gradsurgery.transforms.recon import Recon


class Net(nn.Module):
    """Two branches: `agreed` is trained alike by both tasks, `torn` is pulled apart; beside them a convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3)
        self.norm = nn.BatchNorm1d(4)
        self.agreed, self.torn = nn.Linear(4, 3), nn.Linear(4, 3)
        self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(2))
        self.heads[1].load_state_dict(self.heads[0].state_dict())

    def forward(self, x):
        seen = self.norm(self.conv(x)).relu().mean(dim=2)
        agreed, torn = self.agreed(x[:, 0]).sum(dim=1), self.torn(x[:, 0]).sum(dim=1)
        return [self.heads[t](seen)[:, 0] + agreed + (1 - 2 * t) * torn for t in range(2)]


def losses(model, x):
    return [output.mean() for output in model(x)]


def squares(model, x):
    first, second = model(x)
    return [(first - 2 * x[:, 0, 0]).square().mean(), (second - x[:, 0, 1]).square().mean()]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def loader():
    torch.manual_seed(1)
    return [torch.randn(16, 1, 4) for _ in range(5)]


def _sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def _state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("optimizer", [None, _sgd])
def test_the_layer_that_is_torn_comes_first_and_the_model_stays(model, loader, optimizer):
    before, random = _state(model), torch.get_rng_state()
    ranking = recon.score(model, losses, loader, optimizer=optimizer, epochs=2, thresholds=(0.0, -0.5))
    assert ranking.layers[0] == "torn"
    assert ranking.scores["torn"] == (10, 10)  # one pair of tasks, opposed in every step
    assert ranking.scores["agreed"] == (0, 0)
    assert set(ranking.layers) == {"conv", "norm", "agreed", "torn"}
    assert ranking.steps == 10
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert str(ranking).splitlines()[1].split() == ["torn", "10", "10"]


def test_the_scores_are_those_of_the_loop_written_out(model, loader):
    """Joint training by hand, with the cosine of every layer in every step."""
    ranking = recon.score(model, squares, loader, optimizer=_sgd, thresholds=(0.0, -0.1))
    searched = copy.deepcopy(model)
    optimizer = _sgd(searched.parameters())
    layers = {name: list(searched.get_submodule(name).parameters()) for name in ("conv", "norm", "agreed", "torn")}
    shared = [p for own in layers.values() for p in own]
    total = 0
    for x in loader:
        found = squares(searched, x)
        J = torch.stack([
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)]) for loss in found
        ])  # fmt: skip
        total = total + conflict_counts(pair_cosines(layer_grams(J, shared, layers)), (0.0, -0.1))
        optimizer.zero_grad()
        torch.stack(found).sum().backward()
        optimizer.step()
    assert {name: tuple(row) for name, row in zip(layers, total.tolist(), strict=True)} == dict(ranking.scores)
    assert ranking.scores["conv"][0] + ranking.scores["norm"][0] > 0


def test_split_gives_each_task_a_copy_of_its_own_and_shares_the_rest(model, loader):
    ranking = recon.score(model, losses, loader)
    network = recon.split(model, ranking, k=1)
    names = dict(network.named_parameters())
    assert {"torn.0.weight", "torn.1.weight", "conv.weight", "heads.0.weight"} <= set(names)
    assert "torn.weight" not in names
    shared = {id(p) for p in network.shared_parameters()}
    assert {name for name, p in names.items() if id(p) in shared} == {
        "conv.weight", "conv.bias", "norm.weight", "norm.bias", "agreed.weight", "agreed.bias",
    }  # fmt: skip
    model.eval(), network.eval()
    for mine, theirs in zip(network(loader[0]), model(loader[0]), strict=True):
        torch.testing.assert_close(mine, theirs)  # copies of a linear layer start equal
    surgery = GradientSurgery(network.shared_parameters(), build("pcgrad"))
    assert surgery.backward(losses(network, loader[0]))
    assert not torch.equal(names["torn.0.weight"].grad, names["torn.1.weight"].grad)


def test_the_search_trains_with_the_method_it_is_given(model, loader):
    by_sum = recon.score(model, squares, loader, optimizer=_sgd, epochs=3, thresholds=(0.0, -0.9, -0.99, -0.999))
    by_mgda = recon.score(
        model, squares, loader, optimizer=_sgd, epochs=3, thresholds=(0.0, -0.9, -0.99, -0.999), method="mgda"
    )
    assert by_sum.scores != by_mgda.scores


def test_threshold_and_start_of_the_copies_are_chosen(model, loader):
    ranking = recon.Ranking(
        ("conv", "agreed", "torn", "norm"),
        {"conv": (9, 0), "agreed": (1, 7), "torn": (0, 0), "norm": (0, 0)},
        (0.0, -0.1),
        tuple(recon.score(model, losses, loader).shared),
        10,
    )
    assert "conv.1.weight" in dict(recon.split(model, ranking, 1).named_parameters())
    assert "agreed.1.weight" in dict(recon.split(model, ranking, 1, threshold=-0.1).named_parameters())
    drawn, equal = (recon.split(model, ranking, 1, branch_init=how, seed=1) for how in ("independent", "copy"))
    assert torch.equal(equal.conv[0].weight, equal.conv[1].weight)
    assert not torch.equal(drawn.conv[0].weight, drawn.conv[1].weight)
    assert torch.equal(drawn.conv[0].weight, model.conv.weight)


def test_a_model_whose_layers_belong_to_one_task_each_has_nothing_to_split(model, loader):
    with pytest.raises(
        ValueError, match=r"`model` must have a layer whose parameters are all shared, found none in \("
    ):
        recon.score(model, losses, loader, shared=[model.conv.weight])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loader": []}, "`loader` must hold at least one batch, found none"),
        ({"thresholds": (0.1,)}, "`thresholds` must lie above -1 and not above 0, found 0.1"),
        ({"thresholds": ()}, "`thresholds` must hold at least one S"),
        ({"shared": [nn.Parameter(torch.ones(7))]}, r"`shared` must hold parameters of `model`, .* shape \(7,\)"),
        ({"shared": []}, "`shared` must hold at least one trainable parameter, found none"),
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
    ],
)
def test_a_search_that_cannot_be_is_refused(model, loader, change, said):
    with pytest.raises(ValueError, match=said):
        recon.score(model, losses, **{"loader": loader, **change})


def test_a_search_without_a_finite_step_ranks_nothing(model, loader):
    with pytest.raises(
        ValueError, match=r"`losses` must be finite with their gradients in some step, found \d+ without"
    ):
        recon.score(model, lambda m, b: [loss * torch.nan for loss in _rows(losses(m, b))], loader)


def _rows(found):
    return list(found.values() if isinstance(found, dict) else found)


def test_a_split_that_cannot_be_is_refused(model, loader):
    ranking = recon.score(model, losses, loader)
    with pytest.raises(ValueError, match="`k` must be less than the number of shared layers, 4"):
        recon.split(model, ranking, 4)
    with pytest.raises(ValueError, match=r"`threshold` must be one that was counted, 0.0, found threshold = -0.2"):
        recon.split(model, ranking, 1, threshold=-0.2)

    class Steered(Net):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    with pytest.raises(ValueError, match=r"`network` must be one that torch.fx can trace, found Steered"):
        recon.split(Steered(), ranking, 1)


def test_a_network_of_ours_is_split_as_the_transform_splits_it():
    """A residual network with strided shortcuts; it says itself what is shared."""
    network = ResNet(width=4)
    torch.manual_seed(1)
    batch = torch.randn(4, 1, 36, 36), torch.randint(10, (4,)), torch.randint(10, (4,))
    before = _state(network)

    def crossed(model, batch):
        return [nn.functional.cross_entropy(y, label) for y, label in zip(model(batch[0]), batch[1:], strict=True)]

    ranking = recon.score(network, crossed, [batch] * 2, optimizer=_sgd, thresholds=(0.0, -0.1))
    assert list(ranking.layers) == sorted(shared_layers(network), key=lambda name: -ranking.scores[name][0])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    mine = recon.split(network, ranking, 5, threshold=-0.1, seed=3)
    evidence = {"thresholds": [0.0, -0.1], "scores": {name: list(own) for name, own in ranking.scores.items()}}
    theirs = Recon(5, threshold=-0.1)(network, evidence, Generators(3).transform)
    assert mine.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in mine.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(mine.eval()(batch[0]), theirs.eval()(batch[0]), strict=True))
