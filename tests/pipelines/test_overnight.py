"""Scale overnight end to end on a small checkout: recorded run by run, and gone on with by whoever clones."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from pipelines._arrays import hashes_of

pytestmark = pytest.mark.slow

LINES = ("multi_mnist-pcgrad", "multi_mnist-sum")


@pytest.fixture(scope="module")
def run(checkout, tmp_path_factory):
    """A copy of the small checkout whose registered runs were made and put into it."""
    root = tmp_path_factory.mktemp("overnight") / "clone"
    shutil.copytree(checkout.root, root, symlinks=True)
    made = type(checkout)(root, Path(checkout.environment["GRADSURGERY_MIRROR"]))
    made.said = made.python("-m", "pipelines.repro", "--scale", "overnight", "--record").stdout
    return made


def _seeds(root, line):
    path = next((root / "reports/history/overnight").rglob(f"{line}.jsonl"))
    return [json.loads(text)["seed"] for text in path.read_text().splitlines()]


def test_what_is_recorded_is_histories_and_costs_and_the_rest_of_the_checkout_stays(run):
    assert "recorded 6 of 6 runs in reports/history/overnight and reports/costs/overnight" in run.said
    changed = run.run("git", "status", "--porcelain", "-uall").stdout.split()[1::2]
    places = [f"reports/{kind}/overnight" for kind in ("costs", "history")]
    assert sorted({str(Path(name).parents[1]) for name in changed}) == places
    assert [_seeds(run.root, line) for line in LINES] == [[1000, 1001, 1002]] * 2


def test_a_clone_goes_on_from_what_is_committed_and_its_plan_says_what_is_left(run, tmp_path):
    pins = yaml.safe_load((run.root / "data/pins.yaml").read_text(encoding="utf-8"))
    pins["problems"] = {"multi_mnist": hashes_of(run.root / "workspaces/overnight/data/processed/multi_mnist", {})}
    (run.root / "data/pins.yaml").write_text(yaml.safe_dump(pins), encoding="utf-8")
    run.commit()
    whole = {line: next((run.root / "reports/history/overnight").rglob(f"{line}.jsonl")).read_bytes() for line in LINES}
    run.run("git", "clone", "-q", str(run.root), str(tmp_path / "clone"))
    clone = type(run)(tmp_path / "clone", Path(run.environment["GRADSURGERY_MIRROR"]))
    assert clone.python("-m", "pipelines.train", "--dry", "--scale", "overnight").stdout.endswith(
        "0 of 6 runs are stale at scale overnight\n"
    )
    history = next((clone.root / "reports/history/overnight").rglob("multi_mnist-sum.jsonl"))
    costs = next((clone.root / "reports/costs/overnight").rglob("multi_mnist-sum.json"))
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:1]))
    document = json.loads(costs.read_text())
    document["seeds"] = {"1000": document["seeds"]["1000"]}
    costs.write_text(json.dumps(document))
    clone.commit()
    planned = clone.python("-m", "pipelines.train", "--plan", "--scale", "overnight").stdout
    assert "confirmatory: 6 runs, 4 done" in planned
    assert "0 of 6 runs" in clone.python("-m", "pipelines.train", "--dry", "--scale", "overnight").stdout, "not yet run"
    said = clone.python("-m", "pipelines.repro", "--scale", "overnight").stdout
    assert "train: 2 lines, 2 runs trained now" in said
    assert clone.python("-m", "pipelines.repro", "--scale", "overnight", "--partial").stdout.startswith(
        "recorded 6 of 6"
    )
    for line in LINES:
        found = next((clone.root / "reports/history/overnight").rglob(f"{line}.jsonl"))
        assert found.read_bytes() == whole[line], "the same runs, to the byte"


def test_partial_is_of_a_scale_of_hours(run):
    done = run.run(sys.executable, "-m", "pipelines.repro", "--scale", "smoke", "--partial", check=False)
    assert (done.returncode, done.stderr) == (
        2, "error: `--partial` must stand with a scale of overnight or paper, found smoke.\n"
    )  # fmt: skip
