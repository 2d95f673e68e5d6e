"""Settings of a training: which are refused, and what optimiser and schedule they make."""

import pytest
import torch

from gradsurgery.core.interfaces import Network
from gradsurgery.core.training import Declared, Stepped, Training, WarmedCosine
from gradsurgery.networks.lenet import LeNet
from gradsurgery.networks.mlp import MLP

LEAST = {"epochs": 4, "batch_size": 32, "lr": 0.1}


def test_a_batch_is_no_larger_than_what_it_is_taken_from():
    Training(**LEAST, train_size=32)
    Training(**LEAST, train_size=0)  # all
    with pytest.raises(ValueError, match="`batch_size` must be at most train_size = 31, found batch_size = 32"):
        Training(**LEAST, train_size=31)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "train_size", "val_size", "test_size"])
def test_no_number_is_negative(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least [01], found {name} = -1"):
        Training(**{**LEAST, name: -1})


@pytest.mark.parametrize("name", ["lr", "clip", "gamma"])
def test_rates_are_positive(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be positive, found {name} = 0\.0"):
        Stepped(**{**LEAST, name: 0.0})


def test_a_schedule_rises_and_momentum_fades():
    Stepped(**LEAST, optimizer="sgd", momentum=0.9, milestones=(1, 4))
    for milestones in ((4, 2), (2, 2), (0,), (-1, 3)):
        with pytest.raises(ValueError, match="`milestones` must be epochs from 1 on that rise, found milestones = "):
            Stepped(**LEAST, milestones=milestones)
    with pytest.raises(ValueError, match=r"`momentum` must be less than 1, found momentum = 1\.0\."):
        Stepped(**LEAST, optimizer="sgd", momentum=1.0)
    with pytest.raises(ValueError, match=r"`momentum` must be 0 unless optimizer = 'sgd', found momentum = 0\.5"):
        Stepped(**LEAST, momentum=0.5)


def test_passes_stretch_the_epochs_and_the_schedule():
    training = Stepped(**LEAST, milestones=(2,), gamma=0.1, passes=3)
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = training.optimizer_of([parameter])
    schedule = training.schedule_of(optimizer)
    rates = []
    for _ in range(training.all_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.1] * 6 + [0.01] * 6)
    assert Stepped(**LEAST).schedule_of(optimizer) is None


def test_warm_up_ends_at_the_full_rate_and_the_cosine_at_its_end():
    training = WarmedCosine(**LEAST, warmup=1, lr_end=0.01)
    assert [training.share_of(epoch) for epoch in range(4)] == pytest.approx([0.5, 1.0, 0.55, 0.1])
    with pytest.raises(ValueError, match="`warmup` must be at most 4, found warmup = 5"):
        WarmedCosine(**LEAST, warmup=5)
    with pytest.raises(ValueError, match=r"`betas` must be two numbers from 0 to below 1, found betas = \(0.9, 1.0\)"):
        WarmedCosine(**LEAST, betas=(0.9, 1.0))


def test_a_constant_rate_has_no_schedule():
    optimizer = Training(**LEAST, weight_decay=0.5).optimizer_of([torch.nn.Parameter(torch.ones(1))])
    assert (type(optimizer), optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (
        torch.optim.Adam,
        0.1,
        0.5,
    )
    assert Training(**LEAST).schedule_of(optimizer) is None


class _Problem(Declared):
    batches = losses = evaluate = None


def test_a_declared_problem_checks_its_network_before_any_work():
    own = {"num_tasks": 2, "num_classes": 3, "in_features": 4}
    problem = _Problem({"name": "mlp", "hidden": [5]}, own, Stepped(**LEAST, passes=2, clip=1.0), MLP)
    assert (problem.epochs, problem.clip) == (8, 1.0)
    first, again = (problem.network(torch.Generator().manual_seed(1)).state_dict() for _ in range(2))
    assert all(torch.equal(values, again[name]) for name, values in first.items())
    with pytest.raises(ValueError, match=r"`network.name` must be lenet, found 'mlp'\."):
        _Problem({"name": "mlp", "hidden": [5]}, own, Training(**LEAST), LeNet)
    with pytest.raises(ValueError, match=r"`network.num_tasks` must be left to the problem"):
        _Problem({"name": "mlp", "num_tasks": 2}, own, Training(**LEAST), Network)
