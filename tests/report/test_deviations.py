"""Where runs depart from protocol.md: seeds, baselines, settings and selection, each found in the histories."""

from typing import Any

import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.report.deviations import BASELINES, SEEDS, deviations
from tests.histories import as_run, image_run

Groups = dict[str, list[Run]]
RULES = {"p-sum": {"problem": "p", "selection": "best-val"}, "q-sum": {"problem": "q", "selection": "last10"}}


def line(method: str, seeds: int = SEEDS, settings: dict[str, Any] | None = None, **slots: Any) -> list[Run]:
    records = [image_run("p", method, seed, 0.0, 1) for seed in range(seeds)]
    for record in records:
        record["declaration"] |= slots
        record["declaration"]["settings"] |= settings or {}
    return [as_run(record) for record in records]


def found(groups: Groups, metrics: dict[str, Any] | None = None) -> dict[str, str]:
    frame = deviations(groups, metrics or RULES, ["p"])
    return dict(zip(frame["asked for"], frame["done instead"], strict=True))


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"sum": SEEDS, "pcgrad": SEEDS + 1}, None),
        ({"sum": 3, "pcgrad": 3}, "3 seeds"),
        ({"sum": 1}, "1 seed"),
        ({"sum": SEEDS, "pcgrad": 4, "mgda": SEEDS}, "10 seeds; fewer for PCGrad"),
    ],
)
def test_too_few_seeds_are_counted_and_named(seeds: dict[str, int], said: str | None) -> None:
    assert found({f"p-{m}": line(m, n) for m, n in seeds.items()}).get("10 seeds") == said


def test_a_baseline_counts_by_what_it_is_made_of_and_not_by_its_name() -> None:
    absent = found({"p-sum": line("sum")})["every baseline"].removeprefix("without ").split(", ")
    assert set(BASELINES) < set(absent)
    named = found({"p-sum": line("sum"), "p-dwa": line("dwa")})["every baseline"]
    assert "DWA" in named, "a line called so, whose balancer is another"
    made = found({"p-sum": line("sum"), "p-dwa": line("dwa", balancer={"name": "dwa"})})["every baseline"]
    assert "DWA" not in made
    assert made.endswith("sum + regularisation, sum at equal compute, placebos")


def test_settings_that_are_not_those_of_most_are_named_with_both_values() -> None:
    groups = {"p-sum": line("sum"), "p-mgda": line("mgda"), "p-pcgrad": line("pcgrad", settings={"batch_size": 9})}
    assert found(groups)["one setting for all methods"] == "PCGrad: batch size 9 for 8"
    groups["p-pcgrad"] = line("pcgrad", settings={"batch_size": 9}, rule={"name": "dr_mgf"})
    assert found(groups)["one setting for all methods"] == "PCGrad: batch size 9 for 8 (its own setting)"
    wider = line("pcgrad", settings={"network": {"name": "lenet", "width": 32}})
    assert "one setting for all methods" not in found({"p-sum": line("sum"), "p-pcgrad": wider}), "the network aside"


def test_another_selection_is_that_of_the_problem_itself() -> None:
    groups = {"p-sum": line("sum")}
    assert "selection on validation data" not in found(groups)
    swapped = {name: {**entry, "selection": "last"} for name, entry in RULES.items()}
    assert found(groups, swapped)["selection on validation data"] == "last"
