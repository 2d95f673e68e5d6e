"""The page of methods: every part that a line uses, in the words of its own file."""

from pathlib import Path

from gradsurgery.report.methods import SLOTS, kinds
from gradsurgery.report.sources import Sources
from pipelines._evidence import read_histories


def test_parts_are_described_by_their_own_files(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    found = {kind["slot"]: {p["name"]: p for p in kind["parts"]} for kind in kinds(Sources(groups, {}, {}, [], {}, {}))}
    assert set(found) == set(SLOTS)
    assert found["aggregator"]["pcgrad"]["what"].startswith("Takes from each task's gradient")
    assert "Source:" in found["aggregator"]["pcgrad"]["text"]
    assert found["aggregator"]["pcgrad"]["problems"] == [("multi_fashion_mnist", "Multi-Fashion+MNIST")]
    assert found["aggregator"]["pcgrad"]["methods"] == ["PCGrad (preset paper, data)"]
    assert list(found["aggregator"]["pcgrad"]["presets"]) == ["paper", "official", "data"]
    assert found["balancer"]["static"]["presets"] == {}
    assert found["balancer"]["static"]["methods"] == ["static, 30 %", "static, 70 %"]
    gone = found["aggregator"]["cagrad-c0_5"]
    assert (gone["what"], gone["text"]) == ("", ""), "what is no part any more has no words"
