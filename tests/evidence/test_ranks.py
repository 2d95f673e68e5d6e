"""Ranks across problems: a worked example, what may be ranked at all, and which lines take part."""

from typing import Any

import numpy as np
import pytest

from gradsurgery.evidence import ranks
from gradsurgery.evidence.lines import lines_of
from gradsurgery.report.sources import Sources
from tests.histories import RANKED, ranked


def table(values: list[list[float]], columns: str = "abc", problems: tuple[str, ...] = ("p", "q")) -> ranks.Blocks:
    return {
        (problems[i % len(problems)], f"t{i}.accuracy"): dict(zip(columns, row, strict=True))
        for i, row in enumerate(values)
    }


def levels(evidence: Sources) -> ranks.Blocks:
    problems: dict[str, dict] = {}
    for name, group in evidence.groups.items():
        problems.setdefault(group[0].problem, {})[name] = group
    lines = {p: lines_of(members, "best-val") for p, members in problems.items()}
    return ranks.levels(
        lines, evidence.metrics, lambda metric: {"accuracy": 0.005, "auc": 0.002}.get(metric.split(".")[1])
    )


def methods(found: ranks.Blocks) -> list[str]:
    return sorted(next(iter(found.values())))


def test_worked_example() -> None:
    # b is always best, a always second: Friedman's chi-square is 12 n / (k (k + 1)) sum r^2 - 3 n (k + 1) = 24, 2 df
    found = ranks.rank(table([[2.0, 3.0, 1.0]] * 12))
    assert found.ranks == {"b": 1.0, "a": 2.0, "c": 3.0}
    assert found.friedman == pytest.approx(np.exp(-12))
    assert found.critical == pytest.approx(2.343 * (3 * 4 / (6 * 12)) ** 0.5, abs=1e-3)  # Demsar's table: q = 2.343
    assert found.pairs() == [("b", "a"), ("b", "c"), ("a", "c")]
    assert found.apart["b"]["c"] < 0.05 < found.apart["a"]["a"]


@pytest.mark.parametrize(("methods", "blocks", "expected"), [(12, 5, 7.5), (12, 10, 5.3), (12, 30, 3.0)])
def test_the_critical_difference_is_the_protocols(methods: int, blocks: int, expected: float) -> None:
    assert ranks.critical_difference(methods, blocks) == pytest.approx(expected, abs=0.06)


def test_noise_is_not_told_apart() -> None:
    found = ranks.rank(table(np.random.default_rng(3).normal(size=(40, 3)).tolist()))
    assert found.friedman > 0.05
    assert found.pairs() == []
    assert ranks.rank(table([[1.0, 1.0, 1.0]] * 10)).friedman == 1.0


def test_one_data_set_is_never_ranked() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3)).tolist()
    with pytest.raises(ValueError, match=r"blocks of 2 data sets or more, found 20 of 1"):
        ranks.rank(table(values, problems=("p",)))
    with pytest.raises(ValueError, match="found 20 of 1"):  # two problems on the same pictures
        ranks.rank(table(values, problems=("cifar100_exits", "cifar100_superclass")))
    with pytest.raises(ValueError, match=r"at least 10 blocks of 2 data sets or more, found 9 of 2"):
        ranks.rank(table(values[:9]))
    with pytest.raises(ValueError, match="at least 3 methods, found 2"):
        ranks.rank(table([row[:2] for row in values], "ab"))


def test_wilcoxon_is_against_the_sum_and_corrected() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=30)
    up = base + 1 + 0.1 * rng.normal(size=30)
    found = {(f"p{i % 3}", f"t{i}.auc"): {"sum": base[i], "up": up[i], "even": base[i]} for i in range(30)}
    against = ranks.rank(found).against
    assert against["up"] == pytest.approx(2 * 2 / 2**30)  # the least that 30 pairs can give, twice by Holm
    assert against["even"] == 1.0


def test_the_largest_set_takes_part_and_not_the_best() -> None:
    def leave_out(record: dict[str, Any]) -> None:
        wide = record["problem"] in ("one", "two", "three")
        record["kept"] = wide if record["experiment"].endswith("sam_gs") else True

    shifts = {"sum": 0.0, "pcgrad": 0.1, "cagrad-c0_5": 0.2, "sam_gs": 0.3}
    found = levels(ranked(shifts, (*RANKED, "four"), leave_out))
    assert methods(found) == ["cagrad-c0_5", "pcgrad", "sam_gs", "sum"]  # 4 x 3 cells, where 3 x 4 are as many
    assert sorted({problem for problem, _ in found}) == sorted(RANKED)


def test_only_fair_lines_take_part() -> None:
    def spoil(record: dict[str, Any]) -> None:
        if record["experiment"].endswith("-dwa"):
            record["track"] = "reference"
        if record["experiment"].endswith("-mgda"):
            record["declaration"]["settings"]["batch_size"] = 9
        if record["experiment"].endswith("-gcond"):
            record["declaration"]["aggregator"] = {"name": "gcond", "output": "raw"}

    lines = ("sum", "pcgrad", "gcond", "dwa", "mgda", "static-30", "placebo_random", "sum-repeat", "single_task-left")
    found = levels(ranked(dict.fromkeys(lines, 0.0), edit=spoil))
    assert methods(found) == ["gcond-raw", "pcgrad", "sum"]


def test_blocks_are_in_units_of_the_margin_and_less_error_is_more() -> None:
    metrics = {"a.accuracy": (0.5, True), "b.mae": (0.4, False), "c.auc": (0.5, True), "d.auc": (0.5, True)}
    evidence = ranked({"sum": 0.0, "pcgrad": 0.1, "dwa": 0.0}, metrics=metrics)
    found = levels(evidence)
    for metric, unit in (("a.accuracy", 0.005), ("c.auc", 0.002), ("b.mae", -0.01)):
        means = {m: evidence.metrics[f"one-{m}"][metric]["mean"] for m in ("sum", "pcgrad")}
        unit = unit if metric != "b.mae" else unit * means["sum"]
        assert found["one", metric]["pcgrad"] == pytest.approx(means["pcgrad"] / unit, abs=0.006)
    assert all(row["pcgrad"] > row["sum"] for row in found.values())
