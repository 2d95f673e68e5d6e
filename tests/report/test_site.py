"""The stage `report` on made-up histories: a site whose links hold, the same bytes twice, clear refusals."""

import json
import re
import shutil
from pathlib import Path

import pytest

from gradsurgery.report.readme import END, START
from pipelines import evaluate, report
from tests.report.test_links import wrong_links

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def judged(checkout: Path) -> Path:
    """The made-up checkout with the real published records, a README with markers, and `evaluate` done."""
    shutil.copytree(REPOSITORY / "data/published", checkout / "data/published")
    (checkout / "README.md").write_text(f"before\n\n{START}\nold\n{END}\n\nafter\n")
    assert evaluate.main(["--root", str(checkout)]) == 0
    return checkout


def outputs(root: Path) -> dict[str, bytes]:
    names = ("README.md", "reports/*.html", "reports/site.*", "reports/*/*.html", "reports/*/*.svg", "reports/*/*.md")
    return {str(p.relative_to(root)): p.read_bytes() for name in names for p in root.glob(name)}


def text_of(root: Path) -> str:
    """All pages, one after the other."""
    return "".join(p.read_text() for p in sorted((root / "reports").rglob("*.html")))


def test_the_site_is_whole_and_repeats_to_the_byte(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert report.main(["--root", str(judged)]) == 0
    first = outputs(judged)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert report.main(["--root", str(judged)]) == 0
    assert outputs(judged) == first, "one process draws what several draw"

    pages = {name: text.decode() for name, text in first.items() if name.endswith(".html")}
    assert {f"reports/problems/{name}.html" for name in ("cagrad_toy", "multi_fashion_mnist")} < set(pages)
    assert {f"reports/papers/{name}.html" for name in ("pcgrad", "cagrad", "sam_gs", "recon")} < set(pages)
    assert wrong_links(judged / "reports") == []
    sources = set(re.findall(r'href="(?:\.\./)?((?:history|costs)/[^"]*)"', "".join(pages.values())))
    assert len(sources) == 22, "histories and costs of all experiments are a click away"
    drawn = {name.split("/")[-1] for name in first if name.endswith(".svg")}
    assert len(drawn) == 9
    assert drawn == set(re.findall(r'<img src="[./]*figures/([^"]*)"', "".join(pages.values())))
    assert all(first[name].count(b"<path") > 8 for name in first if name.endswith(".svg")), "no figure is empty"
    assert b"<dc:date>" not in b"".join(first.values())
    assert b"@import" not in first["reports/site.css"]

    readme = first["README.md"].decode()
    assert readme.startswith(f"before\n\n{START}\n\n| paper |")
    assert readme.endswith(f"{END}\n\nafter\n")
    assert "old" not in readme
    assert str(judged) not in "".join(pages.values()), "no path of this machine"


def test_problems_of_every_kind_of_metric_are_reported(others: Path) -> None:
    shutil.copytree(REPOSITORY / "data/published", others / "data/published")
    assert evaluate.main(["--root", str(others)]) == 0
    assert report.main(["--root", str(others)]) == 0
    made = outputs(others)
    assert wrong_links(others / "reports") == []

    tables = {name: text.decode().splitlines() for name, text in made.items() if name.endswith(".md")}
    census = tables["reports/tables/census.md"]
    assert census[0].startswith("| method | ROC-AUC, mean of tasks | income ROC-AUC | never married ROC-AUC |")
    assert "%" not in census[0].split("Delta-m")[0], "areas are not per cent"
    many = tables["reports/tables/cifar100_superclass.md"]
    assert many[0].count("|") < 12, "twenty tasks are no twenty columns"
    assert len(tables["reports/tables/cifar100_superclass-tasks.md"]) == 2 + 20
    mixed = tables["reports/tables/cifar100_reconstruction.md"]
    assert "l1 mean absolute error, lower is better" in mixed[0]
    worse = next(line for line in tables["reports/tables/cagrad-across.md"] if "mean absolute error" in line)
    better = next(line for line in tables["reports/tables/pcgrad-across.md"] if "mean absolute error" in line)
    assert "| worse |" in worse, "a larger error is worse"
    assert "| -0.0" in better


def test_problems_that_were_not_rerun_are_marked_and_no_others(judged: Path) -> None:
    words = "ommitted, not rerun on this machine"
    marks = judged / "reports/skipped.json"
    taken = {"reasons": ["no answer"], "problems": ["cagrad_toy", "multi_fashion_mnist"], "experiments": []}
    marks.write_text(json.dumps({"made_up": taken}))
    assert report.main(["--root", str(judged)]) == 0
    page = (judged / "reports/index.html").read_text()
    titles = re.findall(r">([^<>]+)</a> <span class=\"soft\">\(committed, not rerun on this machine\)", page)
    assert set(titles) == {"Multi-Fashion+MNIST", "landscape of CAGrad"}
    own = (judged / "reports/problems/multi_fashion_mnist.html").read_text()
    assert "(committed, not rerun on this machine)</span></h1>" in own
    said = re.search(r"Committed, not rerun on this machine, as their data could not be had: ([^<]*)\.</p>", page)
    assert said is not None
    assert set(said[1].split(", ")) == set(titles)
    marked = [line for line in (judged / "README.md").read_text().splitlines() if words in line]
    assert {line.split(" | ")[0] for line in marked} == {"| [CAGrad](reports/papers/cagrad.html)"}
    marks.unlink()
    assert report.main(["--root", str(judged)]) == 0
    assert words not in text_of(judged)
    assert words not in (judged / "README.md").read_text()


@pytest.fixture(params=["figures/gone.svg", "problems/gone.html"])
def stale(judged: Path, request: pytest.FixtureRequest) -> Path:
    """A file that an earlier report left for an experiment that is no more."""
    path = judged / "reports" / request.param
    path.parent.mkdir(parents=True)
    path.write_text("<svg/>")
    return path


def test_files_of_experiments_that_are_gone_are_removed(judged: Path, stale: Path) -> None:
    assert report.main(["--root", str(judged)]) == 0
    assert not stale.exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / "reports/metrics.json").unlink(),
            "metrics.json must exist, found nothing: run `evaluate`",
        ),
        (lambda root: (root / "reports/metrics.json").write_text('{\n "a": '), "metrics.json:2: must be JSON"),
        (
            lambda root: (root / "reports/metrics.json").write_text("{}"),
            "must hold what `evaluate` makes of reports/history",
        ),
        (lambda root: (root / "README.md").write_text("nothing"), "must appear once in the README, found 0 times"),
        (lambda root: (root / "data/published/cagrad.yaml").write_text("paper: {key: c}\n"), "cagrad.yaml: an entry"),
        (
            lambda root: next(root.glob("reports/costs/*/*/cagrad_toy-mean.json")).write_text("{"),
            "cagrad_toy-mean.json: ",
        ),
    ],
    ids=["no metrics", "cut metrics", "foreign metrics", "no markers", "no claims", "cut costs"],
)
def test_what_is_malformed_is_named_and_nothing_is_written(
    judged: Path, capsys: pytest.CaptureFixture[str], damage, message: str
) -> None:
    damage(judged)
    before = outputs(judged)
    assert report.main(["--root", str(judged)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert outputs(judged) == before


@pytest.mark.parametrize("stage", [evaluate, report])
def test_help_teaches(stage, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        stage.main(["--help"])
    assert "Example: python -m pipelines." in capsys.readouterr().out
