"""Ways to get a better result than there is, on a small checkout whose registered runs are committed: each is refused
or marked. Comparing across budgets is refused where contrasts are made (tests/evidence)."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from gradsurgery.evidence.history import numbers_of
from pipelines._params import load
from pipelines._protocol import check_runs, registered
from pipelines._schedule import check
from pipelines.deviations import deviations
from pipelines.evaluate import evaluate_all
from tests.pipelines.conftest import CLAIM

ID = f"pcgrad/{CLAIM}"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(checkout, tmp_path_factory):
    """The small checkout at scale overnight, with a committed history of every registered run."""
    root = tmp_path_factory.mktemp("hostile") / "clone"
    shutil.copytree(checkout.root, root, symlinks=True)
    made = type(checkout)(root, Path(checkout.environment["GRADSURGERY_MIRROR"]))
    text = (root / "params.yaml").read_text(encoding="utf-8").replace("scale: smoke", "scale: overnight", 1)
    (root / "params.yaml").write_text(text, encoding="utf-8")
    made.commit()
    for stage in ("fetch", "prepare", "train"):
        made.python("-m", f"pipelines.{stage}")
    made.commit()
    return made


@pytest.fixture
def root(run, tmp_path, monkeypatch):
    """A copy of it, entered: pins are read from the folder that one is in."""
    shutil.copytree(
        run.root, tmp_path / "clone", symlinks=True, ignore=shutil.ignore_patterns("data", "runs", "mlflow.db")
    )
    shutil.copytree(run.root / "data/published", tmp_path / "clone/data/published")
    shutil.copy(run.root / "data/pins.yaml", tmp_path / "clone/data/pins.yaml")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def _edit(root, name, change):
    document = yaml.safe_load((root / name).read_text(encoding="utf-8"))
    change(document)
    (root / name).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _commit(run, root):
    type(run)(root, root).commit()


def _registered(root):
    return json.loads(evaluate_all(root)["verdict.json"])[ID]["registered"]


def _history(root, method):
    return next((root / "reports/history/overnight").rglob(f"multi_mnist-{method}.jsonl"))


def test_a_registered_run_carries_the_protocol_that_it_began_under(root):
    own = registered(root)
    for method in ("sum", "pcgrad"):
        lines = [json.loads(line) for line in _history(root, method).read_text().splitlines()]
        assert [(line["seed"], line["protocol"]) for line in lines] == [(s, own.sha256) for s in (1000, 1001, 1002)]
    assert _registered(root) == {"scale": "overnight", "n": 3, "there": 3}
    assert deviations(root) == []


def test_a_margin_that_is_widened_afterwards_makes_every_run_exploratory(run, root):
    _edit(root, "protocol.yaml", lambda d: d["margins"].update(accuracy=0.05))
    assert _registered(root)["there"] == 0
    _commit(run, root)
    assert [one["changed"] for one in deviations(root)] == ["protocol.yaml"]


def test_another_experiment_under_a_claim_makes_every_run_exploratory(run, root):
    def swap(document):
        claim = next(claim for claim in document["claims"] if claim["id"] == CLAIM)
        claim["answered_by"] |= {"experiment": "multi_mnist-sum", "minus": "multi_mnist-pcgrad"}

    _edit(root, "data/published/pcgrad.yaml", swap)
    assert _registered(root)["there"] == 0
    _commit(run, root)
    assert [one["changed"] for one in deviations(root)] == ["protocol.yaml"]


def test_a_seed_that_is_dropped_is_refused_and_its_claim_says_how_many_there_are(root):
    history = _history(root, "pcgrad")
    kept = history.read_text().splitlines()[:2]
    history.write_text("\n".join(kept) + "\n")
    costs = Path(str(history).replace("history", "costs")).with_suffix(".json")
    document = json.loads(costs.read_text())
    del document["seeds"]["1002"]
    costs.write_text(json.dumps(document))
    assert _registered(root)["there"] == 2
    _edit(root, "params.yaml", lambda d: d["problems"]["multi_mnist"]["overnight"].update(seeds=[1000, 1001]))
    seeds = {line.name: line.seeds for line in load().experiments.values()}
    with pytest.raises(
        ValueError, match=rf"must hold the 3 from 1000 on that protocol.yaml registered for {ID} .*without 1002"
    ):
        check_runs(registered(root), "overnight", seeds)


def test_a_confirmatory_seed_is_refused_where_settings_are_chosen(root):
    _edit(root, "params.yaml", lambda d: d["studies"]["search"]["multi_mnist"].update(seed=1001))
    with pytest.raises(ValueError, match=r"`studies.search.multi_mnist.seeds` must lie below 1000, .* found 1001"):
        load()
    _edit(root, "params.yaml", lambda d: d["studies"]["search"]["multi_mnist"].update(seed=0))
    _edit(root, "params.yaml", lambda d: d["problems"]["multi_mnist"]["smoke"].update(seeds=[0, 1000]))
    with pytest.raises(ValueError, match=r"`problems.multi_mnist.smoke.seeds` must lie below 1000, .* found 1000"):
        load()


def test_a_seed_of_tuning_confirms_nothing(root):
    history = _history(root, "sum")
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    lines[0]["seed"], lines[0]["protocol"] = 0, registered(root).sha256
    history.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    costs = Path(str(history).replace("history", "costs")).with_suffix(".json")
    kept = json.loads(costs.read_text())
    kept["seeds"]["0"] = {**kept["seeds"].pop("1000"), "numbers": numbers_of(lines[0])}
    costs.write_text(json.dumps(kept))
    assert _registered(root)["there"] == 2


def test_a_registered_method_that_is_crippled_names_its_source_or_is_refused(root):
    check(load(), registered(root))
    _edit(root, "params.yaml", lambda d: d["methods"]["pcgrad"]["aggregator"].update(order="fixed"))
    with pytest.raises(ValueError, match=r"`methods.pcgrad.source` must say where its authors set order = fixed"):
        check(load(), registered(root))
    _edit(root, "params.yaml", lambda d: d["methods"]["pcgrad"].update(source="paper, Algorithm 1"))
    check(load(), registered(root))


def test_a_line_that_is_crippled_afterwards_is_listed(run, root):
    _edit(
        root,
        "params.yaml",
        lambda d: d["methods"]["sum"].update(overnight={"settings": {"lr": 0.5}}, track="reference"),
    )
    _edit(root, "params.yaml", lambda d: d.update(studies={}))
    _commit(run, root)
    assert [one["changed"] for one in deviations(root)] == ["settings of multi_mnist-sum at overnight"]


def test_code_that_changes_afterwards_is_listed(run, root):
    with (root / "src/gradsurgery/aggregators/pcgrad.py").open("a") as file:
        file.write("# harmless\n")
    (root / "src/gradsurgery/aggregators/gcond.py").write_text("")
    _commit(run, root)
    assert [one["changed"] for one in deviations(root)] == ["code: src/gradsurgery/aggregators/pcgrad.py"]
