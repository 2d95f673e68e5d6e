"""The conflict observatory: silent where nothing was recorded, and whole where layers were."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from gradsurgery.evidence.history import parse
from gradsurgery.report import observatory, observed_figures
from gradsurgery.report.output import Output
from gradsurgery.report.style import svg
from pipelines import evaluate, report
from tests.histories import evidence_of, keep
from tests.observing import See, watch

REPOSITORY = Path(__file__).parents[2]


def test_the_observatory_is_silent_where_nothing_was_recorded(see: See, made_up: Callable[..., dict]) -> None:
    plain = {"p-sum": parse([json.dumps(made_up("p", "sum", 0, 0.0))], "sum")}
    out = Output()
    assert observatory.conflict(evidence_of(plain), out)[0]["layers"] is None
    assert [sheet["title"][:6] for sheet in observatory.sheets(evidence_of(plain), out)] == ["PCGrad"]
    watched = see({"sum": 0.0, "sum-half_batches": 0.0}, seeds=2)
    groups = {f"p-{method}": group for method, group in watched.items()}
    out = Output()
    entry = observatory.conflict(evidence_of(groups), out)[0]["layers"]
    assert entry is not None
    assert "two halves of one task's batch" in entry["first"]["caption"]
    assert len(observatory.sheets(evidence_of(groups), out)) == 3
    assert "figures/p-layers.svg" in out.files
    again = copy.deepcopy(watched["sum-half_batches"])
    assert svg(observed_figures.over_layers(again)) == out.finish()["figures/p-layers.svg"]


def test_the_pages_show_the_layers(checkout: Path) -> None:
    for name in ("sum", "pcgrad"):
        path = next(checkout.glob(f"reports/history/*/*/multi_fashion_mnist-{name}.jsonl"))
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            watch(record, -0.1)
        keep(checkout, records)
    shutil.copytree(REPOSITORY / "data/published", checkout / "data/published")
    (checkout / "README.md").write_text((REPOSITORY / "README.md").read_text())
    assert evaluate.main(["--root", str(checkout)]) == 0
    assert report.main(["--root", str(checkout)]) == 0
    text = (checkout / "reports/problems/multi_fashion_mnist.html").read_text()
    assert text.count('<figure id="multi-fashion-mnist-layers">') == 1
    text = (checkout / "reports/conflict.html").read_text()
    assert "Curvature along the step" in text
    assert "PCGrad&#39;s three-part condition (stated for two tasks; 1 problem" in text
