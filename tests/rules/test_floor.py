"""The floor: scikit-learn's own numbers come out, and a checkpoint holds the models."""

import copy
import io

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from gradsurgery.core.discovery import build
from gradsurgery.experiment import build_learner

SLOTS = {"transform": {"name": "identity"}, "balancer": {"name": "equal"}, "aggregator": {"name": "sum"}}


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    made = {"cardinalities": np.full(32, 5)}
    for split, n in (("train", 256), ("val", 100), ("test", 100)):
        made[f"{split}_continuous"] = rng.standard_normal((n, 7)).astype(np.float32)
        made[f"{split}_nominal"] = rng.integers(0, 5, (n, 32)).astype(np.uint8)
        signal = made[f"{split}_continuous"][:, :2] + (made[f"{split}_nominal"][:, :2] == 2) * 2 - 0.5
        made[f"{split}_labels"] = (signal + 0.3 * rng.standard_normal((n, 2)) > 0).astype(np.uint8)
    return made


def learner(arrays, epochs=1, **fields):
    settings = {"network": {"name": "recommender", "width": 4}, "epochs": epochs, "batch_size": 64}
    rule = {"name": "floor", "iterations": 200} | fields
    return build_learner(
        {"problem": "census", "module": "census", "settings": settings, "rule": rule} | SLOTS, arrays, 0
    )


def test_logistic_regression_is_scikit_learns(arrays):
    row = learner(arrays).epoch()

    def table(split):
        nominal = arrays[f"{split}_nominal"]
        one_hot = (nominal[:, :, None] == np.arange(5)).reshape(len(nominal), -1)
        return np.concatenate([arrays[f"{split}_continuous"], one_hot], axis=1)

    for k, task in enumerate(("income", "never_married")):
        model = LogisticRegression(max_iter=200).fit(table("train"), arrays["train_labels"][:, k])
        wanted = roc_auc_score(arrays["test_labels"][:, k], model.decision_function(table("test")))
        assert row[f"test.{task}.auc"] == pytest.approx(wanted, abs=2e-3)
        assert wanted > 0.8
        assert 0 < row[f"train.{task}.loss"] < 0.69


def test_trees_learn(arrays):
    row = learner(arrays, model="trees", iterations=20, rate=0.2).epoch()
    assert min(row["test.income.auc"], row["test.never_married.auc"]) > 0.75


@pytest.mark.parametrize("model", ["logistic", "trees"])
def test_the_models_are_fitted_once_and_a_checkpoint_leads_to_the_same(arrays, model):
    fields = {"model": model, "iterations": 200 if model == "logistic" else 20}
    first = learner(arrays, epochs=2, **fields)
    row = first.epoch()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = learner(arrays, epochs=2, **fields)
    second.load_state_dict(torch.load(file))
    with pytest.raises(RuntimeError, match="rule `floor` must have run an epoch, found no fitted models"):
        second.network(torch.zeros(1, 39))
    models = copy.copy(first.network.models)
    a, b = first.epoch(), second.epoch()
    assert a == b == row | {"epoch": 2}
    assert first.network.models == models
    assert len(second.network.models) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "forest"}, "`floor.model` must be one of 'logistic', 'trees', found 'forest'"),
        ({"iterations": 0}, "`iterations` must be positive, found iterations = 0"),
        ({"C": -1.0}, r"`C` must be positive, found C = -1\.0"),
    ],
)
def test_bad_input(fields, message):
    with pytest.raises(ValueError, match=message):
        build("rules", "floor", **fields)


def test_other_networks_are_refused():
    with pytest.raises(
        ValueError,
        match="rule `floor` must be given a network that reads rows of a table, such as `recommender`, found MLP",
    ):
        build("rules", "floor").attach(build("networks", "mlp"))
