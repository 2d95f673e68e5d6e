"""What DVC's own commands read: one line of metrics, points without gaps, and a page that asks no server."""

import csv
import io
import json
from pathlib import Path

import yaml

from gradsurgery.ledger.words import WORDS, first_word
from gradsurgery.report.controlled import _plot
from gradsurgery.report.output import Output
from pipelines._evidence import read_papers
from tests.histories import as_run, image_run

ROOT = Path(__file__).parents[2]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def test_the_metrics_are_the_headlines_by_verdict():
    [file] = DVC["metrics"]
    summary = json.loads((ROOT / file).read_text(encoding="utf-8"))
    verdicts = json.loads((ROOT / "reports/verdict.json").read_text(encoding="utf-8"))
    headlines = [r.id for paper in read_papers(ROOT / "data/published") for r in paper.records if r.headline]
    for word in WORDS:
        assert summary[word.replace(" ", "_")] == sum(
            first_word(verdicts[name]["verdict"]) == word for name in headlines
        )
    assert len(summary) == len(WORDS) + 2


def test_lines_of_unequal_length_leave_no_cell_empty():
    lengths = {"sum": 3, "sum-long": 6}
    runs = {m: [as_run(image_run("multi_mnist", m, 0, 0.0, n))] for m, n in lengths.items()}
    out = Output()
    _plot(runs, "multi_mnist", out)
    rows = list(csv.DictReader(io.StringIO(out.files["plots/multi_mnist-learning.csv"].decode())))
    assert {label: sum(row["method"] == label for row in rows) for label in ("sum", "sum, long")} == {
        "sum": 3, "sum, long": 6,
    }  # fmt: skip
    assert all(value for row in rows for value in row.values())


def test_plots_are_drawn_by_a_template_of_ours_on_a_page_that_asks_no_server():
    folder, page = ROOT / ".dvc/plots", (ROOT / ".dvc/plots/offline.html").read_text(encoding="utf-8")
    for entry in DVC["plots"]:
        [(file, says)] = entry.items()
        assert (ROOT / file).is_file()
        template = json.loads((folder / f"{says['template']}.json").read_text(encoding="utf-8"))
        assert template["encoding"]["color"]["field"] == "method"
    assert "{plot_divs}" in page
    assert "{scripts}" not in page, "they are a server's"
    assert "src=" not in page
