"""Census-Income: the traps of the files, the splits, the encoding, and what a batch depends on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from gradsurgery.core.discovery import build
from gradsurgery.problems.census import COLUMNS, CONTINUOUS, NOMINAL, prepare
from pipelines._workspace import prepared

_ROOT = Path(__file__).parents[2]


def _rows(n, seed):
    """Rows in the file's own form; the age is the row's number, and so tells where a row went."""
    rng = np.random.default_rng(seed)
    lines = []
    for i in range(n):
        row = {c: str(rng.integers(0, 12)) for c in COLUMNS}
        row |= {"age": str(i), "hisp_origin": ["NA", "All other", "?"][i % 3], "instance_weight": f"{rng.random():.2f}"}
        row |= {"marital_stat": ["Never married", "Widowed"][i % 2], "income_50k": ["- 50000.", "50000+."][i % 4 == 0]}
        lines.append(row)
    return lines


def _file(rows):
    text = "".join(", ".join(row[c] for c in COLUMNS) + "\n" for row in rows)
    return np.frombuffer(text.encode(), np.uint8)


@pytest.fixture(scope="module")
def tables():
    train, test = _rows(300, 1), _rows(101, 2)
    test[7]["education"] = "unheard of"
    return {"train": train, "test": test}


@pytest.fixture(scope="module")
def raw(tables):
    return {"census": {name: _file(rows) for name, rows in tables.items()}}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"split": "official", "seed": 0})


def _settings(**changes):
    return {"network": {"name": "recommender", "width": 8}, "epochs": 1, "batch_size": 16} | changes


def _ages(arrays, split):
    """The rows' numbers in their file, from the scaled age."""
    ages = np.arange(300)
    return (arrays[f"{split}_continuous"][:, 0] * ages.std() + ages.mean()).round().astype(int)


def test_forty_inputs_less_the_second_label():
    assert (len(CONTINUOUS), len(NOMINAL)) == (7, 32)
    assert {*COLUMNS} - {*CONTINUOUS, *NOMINAL} == {"marital_stat", "instance_weight", "income_50k"}


def test_shapes_and_types(arrays):
    shapes = {name: (values.shape, values.dtype) for name, values in arrays.items() if name != "cardinalities"}
    expected = {}
    for split, n in (("train", 300), ("val", 50), ("test", 51)):
        expected |= {f"{split}_continuous": ((n, 7), np.float32), f"{split}_nominal": ((n, 32), np.uint8)}
        expected[f"{split}_labels"] = ((n, 2), np.uint8)
    assert shapes == expected
    assert arrays["cardinalities"].shape == (32,)


def test_every_row_lands_in_one_split_with_its_labels(arrays, tables):
    found = {split: _ages(arrays, split) for split in ("train", "val", "test")}
    assert sorted(found["train"]) == list(range(300))
    assert sorted([*found["val"], *found["test"]]) == list(range(101))
    assert not (np.diff(found["train"]) > 0).all()
    for split, ages in found.items():
        assert (arrays[f"{split}_labels"][:, 0] == (ages % 4 == 0)).all()
        assert (arrays[f"{split}_labels"][:, 1] == (ages % 2 == 0)).all()


def test_numbers_are_scaled_on_the_training_rows(arrays):
    np.testing.assert_allclose(arrays["train_continuous"].mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(arrays["train_continuous"].std(axis=0), 1.0, atol=1e-6)


def test_categories_are_numbered_as_text_from_one_and_na_is_one_of_them(arrays, tables):
    for column in ("hisp_origin", "year", "sex"):  # year: whole numbers, "10" before "2"
        known = sorted({row[column] for row in tables["train"]})
        place = NOMINAL.index(column)
        assert arrays["cardinalities"][place] == len(known) + 1
        for split, table in (("train", "train"), ("val", "test"), ("test", "test")):
            values = [tables[table][age][column] for age in _ages(arrays, split)]
            assert arrays[f"{split}_nominal"][:, place].tolist() == [known.index(v) + 1 for v in values]
    assert "NA" in {row["hisp_origin"] for row in tables["train"]}


def test_a_value_unknown_in_training_is_zero(arrays):
    zeros = sum(int((arrays[f"{split}_nominal"] == 0).sum()) for split in ("train", "val", "test"))
    assert zeros == 1
    assert (arrays["train_nominal"] > 0).all()


def test_blanks_after_commas_do_not_matter(raw, arrays):
    bare = {"census": {k: np.frombuffer(v.tobytes().replace(b", ", b","), np.uint8) for k, v in raw["census"].items()}}
    for name, values in prepare(bare, {"split": "official", "seed": 0}).items():
        assert np.array_equal(values, arrays[name])


def test_the_seed_moves_the_split(raw, arrays):
    other = prepare(raw, {"split": "official", "seed": 1})
    assert set(_ages(other, "val")) != set(_ages(arrays, "val"))


def test_wrong_files_are_refused(raw, tables):
    with pytest.raises(ValueError, match=r"`prepare\.split` must be one of 'official', 'paper_code', found 'x'"):
        prepare(raw, {"split": "x", "seed": 0})
    with pytest.raises(ValueError, match="`split` 'paper_code' must have more than 90000 rows, found 401"):
        prepare(raw, {"split": "paper_code", "seed": 0})
    with pytest.raises(ValueError, match="`raw` must hold one data set"):
        prepare({}, {"split": "official", "seed": 0})
    wrong = [dict(row, income_50k="much") for row in tables["test"]]
    with pytest.raises(ValueError, match=r"`raw` must label income with - 50000\., 50000\+\., found much"):
        prepare({"census": {"train": raw["census"]["train"], "test": _file(wrong)}}, {"split": "official", "seed": 0})


def test_batches_depend_on_the_order_generator_alone(arrays):
    problem = build("problems", "census", arrays=arrays, **_settings())

    def epoch(order, augmentation):
        return list(problem.batches(np.random.default_rng(order), np.random.default_rng(augmentation)))

    first, second, other = epoch(1, 2), epoch(1, 3), epoch(2, 2)
    assert len(first) == 300 // 16
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))
    inputs, labels = first[0]
    assert inputs.shape == (16, 39)
    ages = (inputs[:, 0].numpy() * np.arange(300).std() + np.arange(300).mean()).round()
    assert (labels[:, 1].numpy() == (ages % 2 == 0)).all()
    assert (inputs[:, 7:] >= 1).all()


def test_train_size_takes_the_first_rows(arrays):
    problem = build("problems", "census", arrays=arrays, **_settings(train_size=32))
    seen = torch.cat([x for x, _ in problem.batches(np.random.default_rng(0), np.random.default_rng(0))])
    assert sorted(seen[:, 0].tolist()) == sorted(arrays["train_continuous"][:32, 0].tolist())


def test_losses_and_metrics_agree_with_scikit_learn(arrays):
    problem = build("problems", "census", arrays=arrays, **_settings())
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "val").metrics
    assert network.training
    labels = arrays["val_labels"]
    inputs = torch.from_numpy(np.concatenate([arrays["val_continuous"], arrays["val_nominal"]], axis=1))
    losses = problem.losses(network, (inputs, torch.from_numpy(labels.astype(np.float32))))
    assert set(found) == {f"{task}.{m}" for task in problem.tasks for m in ("auc", "auc_200", "loss")}
    assert set(problem.metrics) == {"income.auc", "never_married.auc"}
    for k, (task, logits) in enumerate(zip(problem.tasks, network(inputs), strict=True)):
        p = torch.sigmoid(logits).detach().double().numpy()
        assert found[f"{task}.auc"] == pytest.approx(roc_auc_score(labels[:, k], p), abs=1e-9)
        assert abs(found[f"{task}.auc_200"] - found[f"{task}.auc"]) < 0.05
        assert found[f"{task}.loss"] == pytest.approx(log_loss(labels[:, k], p), rel=1e-5)
        assert losses[k].item() == pytest.approx(log_loss(labels[:, k], p), rel=1e-5)


def test_the_weight_of_income_counts_in_its_training_loss_alone(arrays):
    plain, weighted = (build("problems", "census", arrays=arrays, **_settings(income_weight=w)) for w in (1.0, 3.0))
    network = plain.network(torch.Generator().manual_seed(0))
    batch = next(plain.batches(np.random.default_rng(0), np.random.default_rng(0)))
    logits, y = network(batch[0])[0], batch[1][:, 0]
    by_hand = torch.where(y == 1, 3 * torch.nn.functional.softplus(-logits), torch.nn.functional.softplus(logits))
    a, b = (problem.losses(network, batch) for problem in (plain, weighted))
    torch.testing.assert_close(b[0], by_hand.mean())
    assert torch.equal(a[1], b[1])
    assert plain.evaluate(network, "val").metrics == weighted.evaluate(network, "val").metrics


def test_the_optimiser_is_the_settings():
    problem = build("problems", "census", arrays={}, **_settings(lr=0.1, beta2=0.99, weight_decay=0.01))
    group = problem.optimizer(list(problem.network(torch.Generator()).parameters())).param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.1, (0.9, 0.99), 0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ({"train_size": 8}, "`batch_size` must be at most train_size = 8, found batch_size = 16"),
        ({"lr": 0.0}, "`lr` must be positive, found lr = 0.0"),
        ({"income_weight": 0.0}, "`income_weight` must be positive, found income_weight = 0.0"),
        ({"clip": -1.0}, "`clip` must be positive, found clip = -1.0"),
        ({"beta2": 1.0}, "`beta2` must be at least 0 and less than 1, found beta2 = 1.0"),
        ({"network": {}}, "`network` must have a `name`"),
        ({"network": {"name": "recommender", "variant": "x"}}, "`recommender.variant` must be one of"),
    ],
)
def test_wrong_settings_are_refused_without_data(changes, message):
    with pytest.raises(ValueError, match=message):
        build("problems", "census", arrays={}, **_settings(**changes))


def test_sizes_belong_to_the_scale_and_a_lines_own_fields_go_first():
    def width(**settings):
        problem = build("problems", "census", arrays={}, **_settings(**settings))
        return problem.network(torch.Generator()).body.experts.layer.out_features

    line = {"name": "recommender", "equal_capacity": False}
    assert width(network=line, sizes={"width": 5}) == 4 * 5
    assert width(network=line | {"width": 7}, sizes={"width": 5}) == 4 * 7
    with pytest.raises(ValueError, match=r"`recommender\.depth` is no field"):
        width(network=line, sizes={"depth": 5})


def test_labels_out_of_range_are_refused(arrays):
    wrong = arrays | {"val_labels": arrays["val_labels"] + 1}
    with pytest.raises(ValueError, match="`val_labels` must be 0 or 1, found 2"):
        build("problems", "census", arrays=wrong, **_settings())


def test_more_rows_than_there_are_is_refused(arrays):
    with pytest.raises(ValueError, match="`val_size` must be at most 50, found 51"):
        build("problems", "census", arrays=arrays, **_settings(val_size=51))


@pytest.fixture(scope="module")
def real():
    folder = prepared(_ROOT, "census")
    if not folder.is_dir():
        pytest.skip("data/processed/census is not there: run `make repro`")
    return {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}


def test_real_data_has_the_published_sizes_and_correlation(real):
    assert [len(real[f"{split}_labels"]) for split in ("train", "val", "test")] == [199_523, 49_881, 49_881]
    labels = real["train_labels"].astype(float)
    assert labels.sum(axis=0).tolist() == [12_382, 86_485]
    assert np.corrcoef(labels.T)[0, 1] == pytest.approx(-0.17817, abs=1e-5)
    assert all(np.isfinite(real[f"{split}_continuous"]).all() for split in ("train", "val", "test"))
    origins = real["train_nominal"][:, NOMINAL.index("hisp_origin")]
    assert 874 in np.bincount(origins)  # the category "NA"
    assert all((real[f"{split}_nominal"] > 0).all() for split in ("train", "val", "test"))


def test_logistic_regression_reaches_the_expected_floor(real):
    encoder = OneHotEncoder(handle_unknown="ignore").fit(real["train_nominal"])

    def features(split, n):
        return sparse.hstack([encoder.transform(real[f"{split}_nominal"][:n]), real[f"{split}_continuous"][:n]], "csr")

    X, T = features("train", 40_000), features("test", None)
    for k, least in enumerate((0.94, 0.99)):
        model = LogisticRegression(max_iter=100).fit(X, real["train_labels"][:40_000, k])
        assert roc_auc_score(real["test_labels"][:, k], model.decision_function(T)) > least
