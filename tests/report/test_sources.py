"""What the site is made from: problems with data, and landscapes, which have none."""

from gradsurgery.report.sources import Sources
from tests.histories import as_run, image_run, landscape_run


def test_problems_are_split_into_landscapes_and_those_with_data() -> None:
    groups = {
        "toy-mean": [as_run(landscape_run("toy", "mean", [True]))],
        "z-sum": [as_run(image_run("z", "sum", 0, 0.0))],
        "a-sum": [as_run(image_run("a", "sum", 0, 0.0))],
        "a-pcgrad": [as_run(image_run("a", "pcgrad", 0, 0.0))],
    }
    found = Sources(groups, {}, {}, [], {}, {})
    assert found.problems == ["a", "toy", "z"], "each once, sorted"
    assert found.landscapes == ["toy"]
    assert found.data == ["a", "z"]


def test_without_runs_there_is_nothing() -> None:
    nothing = Sources({}, {}, {}, [], {}, {})
    assert (nothing.problems, nothing.landscapes, nothing.data) == ([], [], [])
    assert nothing.contrasts.of("sum", "p") == []
