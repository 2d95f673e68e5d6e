"""A paper's own landscapes: figures and a table of each that was run, and how many starts are solved."""

import numpy as np

from gradsurgery.evidence.history import Run
from gradsurgery.report.blocks.descent import part
from gradsurgery.report.sources import Sources
from tests.histories import as_run, landscape_run, sources_of


def run(problem: str, method: str, *solved: bool) -> Run:
    return as_run(landscape_run(problem, method, list(solved)))


def sources(*runs: Run) -> Sources:
    return sources_of({one.experiment: [one] for one in runs})


def test_every_landscape_that_was_run_has_its_figures_and_its_table() -> None:
    made = part("cagrad", sources(run("cagrad_toy", "mean", True, False), run("cagrad_toy", "mgda", True, True)),
                ["sam_gs_toy1", "cagrad_toy"])  # fmt: skip
    assert made is not None
    assert [drawing.name for drawing in made.drawings] == ["cagrad_toy-parameters", "cagrad_toy-losses"]
    assert made.drawings[0].caption.startswith("Landscape of CAGrad, 1,000 steps; rings are starts")
    (sheet,) = made.sheets
    assert sheet.frame["solved"].tolist() == [1, 2]
    assert made.ran.startswith("The landscape of CAGrad from 2 starts. Scale smoke, track as-published, 1 seed.")
    assert made.found == "On the landscape of CAGrad: " + (
        "Solved from all 2 starts: MGDA; from 1: mean. Stuck above zero loss, of 2 starts: mean from 1."
    )


def test_nothing_was_run_nothing_is_shown() -> None:
    assert part("cagrad", sources(run("cagrad_toy", "mean", True)), ["sam_gs_toy1"]) is None


def test_copies_of_one_start_are_shown_first_as_a_distribution() -> None:
    record = landscape_run("cagrad_toy", "mean", [True] * 5)
    record["trajectory"] = {
        name: values if name == "steps" else np.repeat(values, 3, axis=-1 if name == "first_solved" else 1).tolist()
        for name, values in record["trajectory"].items()
    }
    made = part("cagrad", sources(as_run(record)), ["cagrad_toy"])
    assert made is not None
    assert [drawing.name for drawing in made.drawings] == [
        "cagrad_toy-ends", "cagrad_toy-parameters", "cagrad_toy-losses"
    ]  # fmt: skip
    assert "from 15 starts" in made.ran
