"""Rules on a network and a loop of one's own: the same as by the learner, in place, and resumable."""

import copy
import io

import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.epochs import Network, Towers, learner, shared_by_losses


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
        self.digit, self.sign = nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, x):
        h = self.trunk(x)
        return self.digit(h), self.sign(h)


def losses(model, batch):
    x, digit, sign = batch
    outputs = model(x)
    cross = nn.functional.cross_entropy
    return {"digit": cross(outputs[0], digit), "sign": cross(outputs[1], sign)}


class Routed(Network, Towers):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(4, 6)
        self.towers = nn.ModuleList(nn.Linear(6, 1) for _ in range(3))
        self.register_buffer("mu", torch.tensor([0.5, 0.5]))

    def forward(self, x):
        h = self.trunk(x).relu()
        own, lent, other = (tower(h) for tower in self.towers)
        return self.mu[0] * own + self.mu[1] * lent, other

    def shared_parameters(self):
        return list(self.trunk.parameters())


def routed_losses(model, x):
    a, b = model(x)
    return [(a - 1).square().mean(), (b + x[:, :1]).square().mean()]


@pytest.fixture
def loader():
    torch.manual_seed(1)
    return [(torch.randn(8, 1, 4, 4), torch.randint(3, (8,)), torch.randint(2, (8,))) for _ in range(4)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Net()


def _sgd(model, lr=0.1):
    return torch.optim.SGD(model.parameters(), lr=lr)


def test_joint_training_is_the_loop_written_out(model, loader):
    twin = copy.deepcopy(model)
    training = learner("joint", model, losses, loader, _sgd(model), epochs=2, method="pcgrad")
    rows = [training.epoch() for _ in range(2)]
    optimizer, surgery = _sgd(twin), GradientSurgery(twin.trunk.parameters(), build("pcgrad"))
    for _ in range(2):
        for batch in loader:
            optimizer.zero_grad()
            surgery.backward(losses(twin, batch))
            optimizer.step()
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert set(rows[0]) == {"epoch", "train.digit.loss", "train.sign.loss"}


def test_dr_mgf_averages_what_the_tasks_did(model, loader):
    """DR-avgF without gate and auxiliary losses, one batch: theta - lr * mean of the task gradients, on the trunk."""
    batch = loader[:1]
    twin = copy.deepcopy(model).train()
    training = learner(
        "dr_mgf", model, losses, batch, _sgd(model), epochs=1, fusion="average", gate=False, auxiliary=0.0
    )
    row = training.epoch()
    torch.stack(list(losses(twin, batch[0]).values())).sum().backward()
    for name, p in twin.named_parameters():
        share = 0.5 if name.startswith("trunk") else 1.0
        torch.testing.assert_close(model.get_parameter(name), p - 0.1 * share * p.grad, msg=name)
    assert {"train.digit.stage_loss", "train.sign.stage_loss", "train.sign.loss"} < set(row)
    assert [training.problem.tasks, len(training.rule_state["owners"])] == [("digit", "sign"), 10]


@pytest.mark.parametrize("fields", [{}, {"aux_policy": "line_scan"}, {"fusion": "average"}], ids=str)
def test_dr_mgf_learns_and_goes_on_from_a_checkpoint(model, loader, fields):
    twin = copy.deepcopy(model)
    training = learner("dr_mgf", model, losses, loader, _sgd(model, 0.05), epochs=4, **fields)
    first = training.epoch()
    buffer = io.BytesIO()
    torch.save(training.state_dict(), buffer)
    rows = [training.epoch() for _ in range(3)]
    assert rows[-1]["train.digit.loss"] < first["train.digit.loss"]
    resumed = learner("dr_mgf", twin, losses, loader, _sgd(twin, 0.05), epochs=4, **fields)
    buffer.seek(0)
    resumed.load_state_dict(torch.load(buffer))
    assert [resumed.epoch() for _ in range(3)] == rows
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_a_schedule_of_ones_own_is_felt(model, loader):
    optimizer = _sgd(model)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1], gamma=0.0)
    training = learner("dr_mgf", model, losses, loader, optimizer, epochs=2, gate=False, fusion="average")
    training.epoch()
    schedule.step()
    before = [p.detach().clone() for p in model.parameters()]
    training.epoch()
    assert all(torch.equal(p, was) for p, was in zip(model.parameters(), before, strict=True))


def test_drgrad_routes_on_towers_of_ones_own():
    torch.manual_seed(0)
    model, loader = Routed(), [torch.randn(8, 4) for _ in range(6)]
    training = learner("drgrad", model, routed_losses, loader, torch.optim.Adam(model.parameters(), 0.01), epochs=1)
    row = training.epoch()
    assert model.mu[0] > 0.6
    assert model.mu.sum() == pytest.approx(1.0)
    assert 0.0 <= row["train.router.conflict_a"] <= 1.0


def test_a_balancer_with_parameters_joins_the_optimiser(model, loader):
    optimizer = _sgd(model)
    training = learner("joint", model, losses, loader, optimizer, epochs=1, balancer="uncertainty")
    training.epoch()
    assert len(optimizer.param_groups) == 2
    assert all(p.item() != 0.0 for p in training.balancer_parameters.values())


def test_what_is_shared_is_found_and_nothing_is_touched(model, loader):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tasks, shared = shared_by_losses(model, losses, loader)
    assert tasks == ["digit", "sign"]
    assert [id(p) for p in shared] == [id(p) for p in model.trunk.parameters()]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert shared_by_losses(model, lambda m, b: list(losses(m, b).values()), loader)[0] == ["task0", "task1"]


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ("dr_mgff", {}, "did you mean dr_mgf"),
        ("dr_mgf", {"auxiliry": 1.0}, "did you mean auxiliary"),
        ("dr_mgf", {"method": "pcgrad"}, "`aggregator` must be `sum` or `mean` under rule `dr_mgf`"),
        ("drgrad", {}, "rule `drgrad` must be given a network with towers"),
        ("joint", {"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ("joint", {"loader": []}, "`loader` must hold at least one batch"),
        ("joint", {"balancer": 3}, "`balancer` must be a name or a Balancer, found 3"),
        ("joint", {"losses": lambda m, b: {**losses(m, b), "none": None}}, "found none of none"),
        ("joint", {"clip": -1.0}, "`clip` must be None or a number above 0, found -1.0"),
        ("joint", {"clip": float("nan")}, "`clip` must be None or a number above 0, found nan"),
        ("dr_mgf", {"loader": iter([1])}, "`loader` must begin anew for every pass"),
        ("joint", {"losses": lambda m, b: list(losses(m, b).values())[:1]}, "`losses` must return two losses or more"),
        (3, {}, "`rule` must be a name or a TrainingRule, found 3"),
    ],
)
def test_what_cannot_be_trained_is_refused(model, loader, rule, change, said):
    given = {"losses": losses, "loader": loader, "epochs": 1, **change}
    with pytest.raises(ValueError, match=said):
        learner(rule, model, given.pop("losses"), given.pop("loader"), _sgd(model), **given).epoch()


def test_an_optimiser_of_another_model_is_refused(model, loader):
    other = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], 0.1)
    with pytest.raises(ValueError, match="`optimizer` must hold parameters of `model`, found none of them"):
        learner("joint", model, losses, loader, other, epochs=1)


def test_a_network_says_itself_what_it_shares():
    model = Routed()
    with pytest.raises(ValueError, match="`shared` must be left out for a `Network`"):
        learner("joint", model, routed_losses, [torch.ones(2, 4)], _sgd(model), epochs=1, shared=model.parameters())
