"""The page of data: who uses which set, and what the runs read."""

from pathlib import Path

import pytest

from gradsurgery.report.cards import data
from gradsurgery.report.sources import Sources
from pipelines._evidence import read_histories


def test_a_set_says_who_uses_it(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    datasets = {"mnist": {"title": "MNIST", "licence": "free", "arrays": {"a": {}, "b": {}}}, "idle": {}}
    declared = {"multi_fashion_mnist": {"prepare": {"left": "mnist"}}}
    table = data(Sources(groups, {}, {}, [], datasets, declared))["table"]
    assert table.values.tolist() == [["idle", "-", 0, "-"], ["MNIST", "free", 2, "Multi-Fashion+MNIST"]]


@pytest.mark.parametrize(("module", "cards"), [("overlay", 1), ("gone", 0)])
def test_a_problem_whose_module_is_there_has_a_card(checkout: Path, module: str, cards: int) -> None:
    groups = read_histories(checkout / "reports/history")
    for group in groups.values():
        group[0].declaration["module"] = module
    made = data(Sources(groups, {}, {}, [], {}, {}))["cards"]
    assert len(made) == cards
    assert all("Multi-Fashion+MNIST 000000000000" in card["hashes"] for card in made)
