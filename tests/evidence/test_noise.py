"""What the test set alone explains: against formulas by hand, against resampled examples, and where it is not known."""

import json

import numpy as np
import pytest

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.examples import pack, unpack
from gradsurgery.core.ranking import delong_components, roc_auc
from gradsurgery.evidence.history import parse
from gradsurgery.evidence.noise import half_width
from tests.histories import as_run, data_run, with_examples

Z = 1.959964
ACCURACIES = {"a.accuracy": (0.5, True), "b.accuracy": (0.5, True)}


def contributions(values, strata=None):
    """One seed of one line, as it comes out of a history."""
    packed = pack(Evaluation({}, values, strata or {}), dict.fromkeys(values, True))
    return {name: unpack(json.loads(json.dumps(record))) for name, record in packed.items()}


def accuracies(*bits):
    return [contributions({"a.accuracy": own}) for own in bits]


def resampled(statistic, n, draws=4000, seed=0):
    """Half of the 95 % range of a statistic of rows over samples of the examples."""
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(0, n, n)) for _ in range(draws)]
    return Z * float(np.std(found))


def test_of_two_accuracies_it_is_mcnemars():
    """12 examples only one line has right, 5 only the other, of 200: (12 + 5 - 7^2 / 200) / 200^2."""
    mine, theirs = np.zeros(200, bool), np.zeros(200, bool)
    mine[:150], theirs[12:155] = True, True
    assert ((mine & ~theirs).sum(), (theirs & ~mine).sum()) == (12, 5)
    expected = Z * ((17 - 49 / 200) / 200**2 * 200 / 199) ** 0.5
    assert half_width(accuracies(mine), accuracies(theirs), ["a.accuracy"], True) == pytest.approx(expected, rel=1e-5)


def test_of_one_accuracy_it_is_the_binomials():
    own = half_width(accuracies(np.arange(400) < 360), [], ["a.accuracy"], True)
    assert own == pytest.approx(Z * (0.9 * 0.1 / 399) ** 0.5, rel=1e-5)


def test_the_same_line_twice_has_none():
    own = accuracies(np.arange(9) < 4)
    assert half_width(own, own, ["a.accuracy"], True) == 0.0


def test_seeds_are_averaged_before_examples_are_compared():
    """Hard examples are hard for every seed: what seeds have in common does not average out, the rest does."""
    rng = np.random.default_rng(0)
    n, seeds = 500, 6
    hard = rng.random(n) < 0.3
    mine = [rng.random(n) < np.where(hard, 0.6, 0.95) for _ in range(seeds)]
    theirs = [rng.random(n) < np.where(hard, 0.2, 0.95) for _ in range(seeds)]
    differences = np.mean(mine, axis=0) - np.mean(theirs, axis=0)
    found = half_width(accuracies(*mine), accuracies(*theirs), ["a.accuracy"], True)
    assert found == pytest.approx(resampled(lambda rows: differences[rows].mean(), n), rel=0.05)
    one = half_width(accuracies(mine[0]), accuracies(theirs[0]), ["a.accuracy"], True)
    assert one / seeds**0.5 < 0.9 * found < 0.9 * one


def test_tasks_on_the_same_examples_go_together_and_others_apart():
    rng = np.random.default_rng(1)
    n = 600
    shared = rng.random(n)
    mine = {f"{t}.accuracy": shared + 0.1 * rng.random(n) < 0.9 for t in "abc"}
    theirs = {f"{t}.accuracy": rng.random(n) < 0.7 for t in "abc"}
    differences = np.array([mine[name].astype(float) - theirs[name] for name in mine])
    ours, others = [contributions(mine)], [contributions(theirs)]
    together = half_width(ours, others, list(mine), True)
    assert together == pytest.approx(resampled(lambda rows: differences[:, rows].mean(), n), rel=0.05)
    apart = half_width(ours, others, list(mine), False)
    assert apart == pytest.approx(Z * (differences.var(axis=1, ddof=1).sum() / n) ** 0.5 / 3, rel=1e-5)
    assert apart < 0.8 * together, "the errors of the tasks coincide in part"


def test_of_errors_it_is_that_of_a_paired_mean():
    rng = np.random.default_rng(2)
    values = rng.gamma(2.0, 0.1, 3000)
    moved = values + 0.002 + 0.01 * rng.standard_normal(3000)
    ours, theirs = ([contributions({"l1.mae": own})] for own in (moved, values))
    expected = Z * (moved - values).std(ddof=1) / 3000**0.5
    assert half_width(ours, theirs, ["l1.mae"], True) == pytest.approx(expected, rel=0.01)


def scored(n, share, seed):
    """Labels, and the scores that two related models give."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(int)
    common = rng.standard_normal(n) + 1.5 * labels
    return labels, [common + 0.5 * rng.standard_normal(n) for _ in range(2)]


def areas(labels, scores):
    return contributions({"a.auc": delong_components(labels, scores)}, {"a.auc": labels})


def test_of_two_areas_it_is_delongs_by_its_definition():
    labels, scores = scored(60, 0.4, 3)
    psi = [(own[labels == 1][:, None] > own[labels == 0]).astype(float) for own in scores]
    by_positive, by_negative = (np.stack([p.mean(axis=axis) for p in psi]) for axis in (1, 0))
    S = np.cov(by_positive) / by_positive.shape[1] + np.cov(by_negative) / by_negative.shape[1]
    expected = Z * (S[0, 0] + S[1, 1] - 2 * S[0, 1]) ** 0.5
    found = half_width([areas(labels, scores[0])], [areas(labels, scores[1])], ["a.auc"], True)
    assert found == pytest.approx(expected, rel=0.01)
    alone = half_width([areas(labels, scores[0])], [], ["a.auc"], True)
    assert alone == pytest.approx(Z * S[0, 0] ** 0.5, rel=0.01)


def test_of_two_areas_it_is_what_resampled_examples_show():
    labels, scores = scored(400, 0.2, 4)

    def difference(rows):
        return roc_auc(labels[rows], scores[0][rows]) - roc_auc(labels[rows], scores[1][rows])

    found = half_width([areas(labels, scores[0])], [areas(labels, scores[1])], ["a.auc"], True)
    assert found == pytest.approx(resampled(difference, 400, 1500), rel=0.1)


def test_of_a_mean_of_areas_the_tasks_strata_differ_but_their_examples_do_not():
    first, own = scored(500, 0.2, 5)
    second = np.where(np.random.default_rng(6).random(500) < 0.8, first, 1 - first)  # labels that go together
    truths, scores = {"a.auc": first, "b.auc": second}, {"a.auc": own, "b.auc": [s + second for s in own]}
    lines = [
        [contributions({m: delong_components(truths[m], scores[m][k]) for m in truths}, truths)] for k in (0, 1)
    ]  # fmt: skip

    def difference(rows):
        each = [[roc_auc(truths[m][rows], own[rows]) for own in scores[m]] for m in truths]
        return np.mean([one - other for one, other in each])

    found = half_width(lines[0], lines[1], list(truths), True)
    assert found == pytest.approx(resampled(difference, 500, 1500), rel=0.1)


def test_a_sample_of_the_examples_tells_what_all_of_them_would():
    labels, scores = scored(40_000, 0.1, 7)
    found = half_width([areas(labels, scores[0])], [areas(labels, scores[1])], ["a.auc"], True)
    parts = [delong_components(labels, own) for own in scores]
    difference = parts[0] - parts[1]
    exact = sum(difference[labels == k].var(ddof=1) / (labels == k).sum() for k in (0, 1))
    assert len(areas(labels, scores[0])["a.auc"].values) < 5000
    assert found == pytest.approx(Z * exact**0.5, rel=0.05)


def test_a_kept_example_stands_for_as_many_as_its_cell_leaves_out():
    """The rare class of another task is kept whole and the common one is not: unweighted, it would count double."""
    rng = np.random.default_rng(8)
    n = 40_000
    strata = {"a.auc": (rng.random(n) < 0.5).astype(int), "b.auc": (rng.random(n) < 0.05).astype(int)}
    values = 0.3 * strata["b.auc"] + 0.05 * rng.standard_normal(n)
    found = half_width([contributions(dict.fromkeys(strata, values), strata)], [], ["a.auc"], True)
    exact = sum(values[strata["a.auc"] == k].var(ddof=1) / (strata["a.auc"] == k).sum() for k in (0, 1))
    assert found == pytest.approx(Z * exact**0.5, rel=0.03)


def test_a_history_keeps_its_examples():
    record = data_run("p", "sum", 0, 0.0, ACCURACIES)
    for row in record["epochs"]:
        row |= {"test.a.accuracy": 0.25, "test.b.accuracy": 0.75}
    record["examples"] = [dict(entry) for entry in with_examples(as_run(record), 1000).examples]
    assert parse([json.dumps(record)], "h.jsonl")[0].examples == record["examples"]
