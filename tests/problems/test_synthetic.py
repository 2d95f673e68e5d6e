"""The made-up tables: what their labels have in common, and that a learner runs on both."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.experiment import build_learner
from gradsurgery.problems.synthetic import directions, drgrad_table, prepare, users_table


def made(name, cosine, seed=0, rows=4000):
    settings = {"set": name, "cosine": cosine, "seed": seed, "train_rows": rows, "held_out_rows": 400}
    return prepare({}, settings)


@pytest.mark.parametrize(("name", "dense", "sparse"), [("drgrad", 26, 6), ("mmoe", 100, 0)])
def test_shapes(name, dense, sparse):
    arrays = made(name, 0.5)
    for split, n in (("train", 4000), ("val", 400), ("test", 400)):
        assert arrays[f"{split}_continuous"].shape == (n, dense)
        assert arrays[f"{split}_nominal"].shape == (n, sparse)
        assert arrays[f"{split}_labels"].shape == (n, 2)
    assert arrays["cardinalities"].tolist() == [1000] * sparse
    assert abs(arrays["train_continuous"].mean()) < 0.02
    assert abs(arrays["train_continuous"].std() - 1) < 0.02


@pytest.mark.parametrize("name", ["drgrad", "mmoe"])
def test_half_the_training_rows_are_positive(name):
    assert made(name, 0.5)["train_labels"].mean(axis=0).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("cosine", [0.1, 0.5, 0.9])
def test_drgrads_second_task_is_the_first_or_its_negation(cosine):
    for sign in (1, -1):
        labels = made("drgrad", sign * cosine, rows=20_000)["train_labels"]
        agreement = (labels[:, 0] == labels[:, 1]).mean()
        slack = 0.001 if cosine > 0.1 else 0.002  # the noise, small as it is, counts when the rest is scaled down
        assert agreement > 1 - slack if sign > 0 else agreement < slack
        assert made("drgrad", sign * cosine)["correlations"][0] == pytest.approx(sign, abs=1e-3)


def test_drgrads_values_are_its_formula():
    _, x, y = drgrad_table(np.random.Philox(0), 3000, 0.5)
    assert (x > 1.0).all()  # e^0, and nothing below 0 beside it
    for i in range(1, 7):
        assert x[:, i - 1].max() <= np.exp(i + 2) + (i + 2) ** (i / 2 + 1)
        assert x[:, i - 1].max() > 0.3 * np.exp(i + 2)
    for row, label in zip(x[:20], y[:20], strict=True):
        whole = sum(
            4 * v**2 / np.linalg.norm(row**2) + 5 * np.exp(v / np.linalg.norm(row)) + 6 * np.sin(v) for v in row
        )
        assert label[0] == pytest.approx(10 * whole, abs=3.0)  # noise: 10 (0.01 +- 0.045)
        assert label[1] == pytest.approx(0.5 * label[0], abs=0.3)


def test_buckets_hold_equal_shares_of_the_training_rows():
    nominal = made("drgrad", 0.5)["train_nominal"]
    for column in nominal.T:
        shares = np.bincount(column, minlength=1000)  # 4, but for values that are equal after rounding
        assert 2 <= shares.min() <= shares.max() <= 6
        assert (shares == 4).mean() > 0.9


@pytest.mark.parametrize("cosine", [-1.0, -0.5, 0.0, 0.5, 0.9, 1.0])
def test_mmoes_directions_have_the_cosine_asked_for(cosine):
    u, v = directions(np.random.Philox(3), 100, cosine)
    assert (u @ u, v @ v) == pytest.approx((1.0, 1.0), abs=1e-12)
    assert u @ v == pytest.approx(cosine, abs=1e-12)


def test_mmoes_tasks_agree_the_more_the_larger_the_cosine():
    found = [made("mmoe", p)["correlations"][0] for p in (0.0, 0.5, 0.9, 1.0)]
    assert found == sorted(found)
    assert abs(found[0]) < 0.1
    assert found[-1] > 0.95


def test_users_weigh_groups_of_columns_by_a_taste_of_their_own():
    x, users, y = users_table(np.random.Philox(0), 40_000, 0.5)
    assert x.shape == (40_000, 40)
    assert users.shape == (40_000, 1)
    assert set(users[:, 0]) == set(range(200))
    residues, slopes = [], []
    for user in range(20):
        rows = users[:, 0] == user
        fit = np.linalg.lstsq(x[rows], y[rows, 0], rcond=None)[0]
        residues.append((y[rows, 0] - x[rows] @ fit).std())
        slopes.append(fit)
    assert np.mean(residues) == pytest.approx(0.1, rel=0.2)  # linear for each user, but for the noise
    shared = np.linalg.lstsq(x, y[:, 0], rcond=None)[0]
    ratios = np.array(slopes) / shared  # the user's taste over the mean taste: one number for each group of five
    wide = abs(shared) > 0.1
    assert np.abs(ratios[:, wide]).max() < 2.6
    for group in range(8):
        inside = ratios[:, 5 * group : 5 * group + 5][:, wide[5 * group : 5 * group + 5]]
        assert inside.std(axis=1).max(initial=0.0) < 0.2
    assert ratios[:, wide].std(axis=0).min() > 0.3


def test_users_are_categories_as_they_are():
    arrays = made("users", 0.5, rows=2000)
    assert arrays["cardinalities"].tolist() == [200]
    assert arrays["train_nominal"].shape == (2000, 1)
    assert arrays["train_nominal"].max() <= 199
    assert arrays["train_continuous"].shape == (2000, 40)
    assert arrays["correlations"][0] == pytest.approx(0.5, abs=0.06)


def test_ppnet_runs_on_users():
    network = {"name": "recommender", "variant": "split", "width": 8, "personal": [0]}
    declaration = {
        "problem": "users", "module": "synthetic", "rule": {"name": "drgrad", "pairing": "matched"},
        "settings": {"network": network, "sizes": {"tower": 8}, "epochs": 1, "batch_size": 200, "lr": 1e-2},
        "transform": {"name": "identity"}, "balancer": {"name": "equal"}, "aggregator": {"name": "sum"},
    }  # fmt: skip
    learner = build_learner(declaration, made("users", 0.5, rows=2000), 0)
    before = learner.network.gate.weight.detach().clone()
    learner.epoch()
    assert not torch.equal(before, learner.network.gate.weight)


def test_the_seed_decides():
    a, b, c = made("mmoe", 0.5), made("mmoe", 0.5), made("mmoe", 0.5, seed=1)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["train_labels"], c["train_labels"])


@pytest.mark.parametrize("name", ["drgrad", "mmoe"])
@pytest.mark.parametrize("rule", ["joint", "drgrad"])
def test_a_learner_runs_and_says_what_the_labels_have_in_common(name, rule):
    arrays = made(name, -0.5)
    network = {"name": "recommender", "variant": "split", "width": 16}
    declaration = {
        "problem": "synthetic", "module": "synthetic", "rule": {"name": rule},
        "settings": {"network": network, "epochs": 2, "batch_size": 200, "lr": 1e-2},
        "transform": {"name": "identity"}, "balancer": {"name": "equal"}, "aggregator": {"name": "sum"},
    }  # fmt: skip
    learner = build_learner(declaration, arrays, 0)
    row = [learner.epoch() for _ in range(2)][-1]
    assert row["train.first.loss"] < 0.69
    assert row["val.first.auc"] > 0.55
    assert row["val.labels.correlation"] == arrays["correlations"][0] < 0
    assert set(learner.problem.metrics) == {"first.auc", "second.auc"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ({"lr": -1.0}, r"`lr` must be positive, found lr = -1\.0"),
        ({"train_size": 8}, "`batch_size` must be at most train_size = 8"),
        ({"network": {}}, "`network` must have a `name`"),
    ],
)
def test_wrong_settings_are_refused_without_data(changes, message):
    with pytest.raises(ValueError, match=message):
        build("problems", "synthetic", arrays={}, **({"network": {"name": "recommender"}, "epochs": 1} | changes))


def test_wrong_sets_are_refused():
    with pytest.raises(ValueError, match=r"`prepare\.set` must be one of 'drgrad', 'mmoe', 'users', found 'x'"):
        made("x", 0.5)
    with pytest.raises(ValueError, match=r"`cosine` must be in \[-1, 1\], and not 0 for 'drgrad', found cosine = 0.0"):
        made("drgrad", 0.0)
    with pytest.raises(ValueError, match=r"found cosine = 1\.5"):
        made("mmoe", 1.5)


def test_global_generators_are_not_touched():
    before = torch.get_rng_state()
    made("mmoe", 0.5)
    assert torch.equal(before, torch.get_rng_state())
