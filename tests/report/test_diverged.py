"""One line in turn diverges, and everything that reads histories says so, judges the rest, and dies of nothing."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest

from gradsurgery.evidence import diverged
from gradsurgery.report.readme import END, START
from gradsurgery.report.site import assemble, sections
from gradsurgery.report.sources import Sources
from pipelines import evaluate as stage
from pipelines import report
from pipelines._evidence import read_histories
from tests.histories import evidence_of, keep, scores_of

REPOSITORY = Path(__file__).parents[2]
PROBLEM = "multi_fashion_mnist"


def diverge(root: Path, experiment: str, seeds: tuple[int, ...] | None = None) -> None:
    """Rewrites a made-up history as a run leaves it whose losses went away in its second epoch, or in its only one."""
    path = next(root.glob(f"reports/history/*/*/{experiment}.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if seeds is None or line["seed"] in seeds:
            rows = line["epochs"][:2]
            rows[-1] = {name: value if name == "epoch" else None for name, value in rows[-1].items()}
            for row in line["diagnostics"][5:]:
                row |= {name: None for name in row if name != "step"}
            if line["trajectory"] is not None:
                for what in ("theta", "losses"):
                    line["trajectory"][what][-1] = [[None, None] for _ in line["trajectory"][what][-1]]
            line |= {"epochs": rows, "diverged": rows[-1]["epoch"]}
    keep(root, lines)


def numbers(document: object) -> list[float]:
    if isinstance(document, dict):
        return [n for value in document.values() for n in numbers(value)]
    if isinstance(document, list):
        return [n for value in document for n in numbers(value)]
    return [document] if isinstance(document, float) else []


def test_a_line_with_one_diverged_seed_has_no_mean_and_the_others_are_judged_without_it(checkout: Path) -> None:
    before = scores_of(read_histories(checkout / "reports/history"), {})
    diverge(checkout, f"{PROBLEM}-pcgrad", (1,))
    after = scores_of(read_histories(checkout / "reports/history"), {})
    assert after[f"{PROBLEM}-pcgrad"] == {
        "problem": PROBLEM, "method": "pcgrad", "scale": "smoke", "track": "controlled", "n": 3,
        "selection": "best-val", "skipped_steps": 0, "diverged": {"1": 2}, "excluded": ["diverged (seed 1, epoch 2)"],
    }  # fmt: skip
    assert set(after) == set(before)
    assert after[f"{PROBLEM}-cagrad-c0_5"]["left.accuracy"] == before[f"{PROBLEM}-cagrad-c0_5"]["left.accuracy"]
    fair = before[f"{PROBLEM}-sum"]["competitors"]
    assert after[f"{PROBLEM}-sum"]["competitors"] == fair - 1, "ranks and Holm's correction are without it"
    json.dumps(after, allow_nan=False)


@pytest.mark.parametrize("name", ["sum", "single_task-left"])
def test_what_would_have_been_compared_with_it_is_not(checkout: Path, name: str) -> None:
    key = {"sum": "minus_sum", "single_task-left": "delta_m_metric"}[name]
    before = scores_of(read_histories(checkout / "reports/history"), {})
    diverge(checkout, f"{PROBLEM}-{name}", (0,))
    after = scores_of(read_histories(checkout / "reports/history"), {})
    assert key in before[f"{PROBLEM}-pcgrad"]
    assert key not in after[f"{PROBLEM}-pcgrad"], "two of three seeds would flatter whom they are held against"
    assert all(map(math.isfinite, numbers(after)))


CASES = {
    "the sum": [(f"{PROBLEM}-sum", None)],
    "one seed of a method": [(f"{PROBLEM}-cagrad-c0_5", (1,))],
    "a single-task run": [(f"{PROBLEM}-single_task-right", (0,))],
    "a weighting and a landscape": [(f"{PROBLEM}-static-30", None), ("cagrad_toy-mean", None)],
    "a whole landscape": [("cagrad_toy-mean", None), ("cagrad_toy-cagrad-c0_5", None)],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_section_is_made_without_it(checkout: Path, case: str) -> None:
    _sections(checkout, CASES[case])


def test_every_section_is_made_without_the_sums_of_other_problems_and_all_lines_of_one(others: Path) -> None:
    sums = [(f"{p}-sum", None) for p in ("cifar100_superclass", "cifar100_exits", "cifar100_reconstruction")]
    _sections(others, [*sums, *((f"census-{m}", (3,)) for m in ("sum", "pcgrad", "cagrad-c0_5", "gcond-raw"))])


def _sections(root: Path, lines: list[tuple[str, tuple[int, ...] | None]]) -> None:
    for experiment, seeds in lines:
        diverge(root, experiment, seeds)
    groups = read_histories(root / "reports/history")
    whole, gone = diverged.split(groups)
    assert set(gone) == {experiment for experiment, _ in lines}
    costs = {p.stem: json.loads(p.read_text()) for p in root.glob("reports/costs/*/*/*.json")}
    sections(evidence_of(whole, costs))


def test_the_page_says_who_diverged_and_when(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(REPOSITORY / "data/published", checkout / "data/published")
    (checkout / "README.md").write_text(f"{START}\n{END}\n")
    gone = [line for case in ("one seed of a method", "the sum", "a weighting and a landscape") for line in CASES[case]]
    for experiment, seeds in gone:
        diverge(checkout, experiment, seeds)
    assert stage.main(["--root", str(checkout)]) == 0
    assert report.main(["--root", str(checkout)]) == 0
    assert "Traceback" not in capsys.readouterr().err
    reports = checkout / "reports"
    assert f'href="protocol.html#diverged">{len(gone)} experiments diverged' in (reports / "index.html").read_text()
    assert (reports / "protocol.html").read_text().count('id="diverged"') == 1
    page = (reports / f"problems/{PROBLEM}.html").read_text()
    assert "1: 2" in (reports / "tables/diverged.csv").read_text()
    row = next(line for line in (reports / f"tables/{PROBLEM}.csv").read_text().splitlines() if "CAGrad" in line)
    assert "no: diverged (seed 1, epoch 2)" in row
    assert "Left out of every comparison: CAGrad, c = 0.5 diverged (seed 1, epoch 2)" in page
    verdicts = json.loads((reports / "verdict.json").read_text())
    diverged = [entry for entry in verdicts.values() if entry["verdict"].startswith("diverged")]
    assert "diverged (seed 0, epoch 1)" in {e["verdict"] for e in diverged}, "a claim whose only run went away"
    assert all(entry["ours"] == "-" and "left the finite numbers" in entry["why"] for entry in diverged)
    assert re.search(r"\| [^|]*\d diverged", (checkout / "README.md").read_text())
    assert "diverged" in (reports / "tables/verdict-counts.csv").read_text().splitlines()[0]


def test_where_everything_diverged_there_is_still_a_page(checkout: Path) -> None:
    for path in sorted(checkout.glob("reports/history/*/*/*.jsonl")):
        diverge(checkout, path.stem)
    groups = read_histories(checkout / "reports/history")
    made = assemble(Sources(groups, scores_of(groups, {}), {}, [], {}, {}))
    assert made.files["tables/diverged.csv"].count(b"\n") == 1 + len(groups)
