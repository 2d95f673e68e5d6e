"""Bad input: one clear sentence on stderr, exit code 2, and nothing written."""

import copy
from pathlib import Path

import pytest
import yaml

import pipelines.train
from pipelines._params import Experiment, load
from pipelines._studies import read_studies

ROOT = Path(__file__).parents[2]
PCGRAD = "multi_mnist-pcgrad"
PCGRAD_LINE = ("experiments", "multi_mnist", "pcgrad")


def _put(*path):
    """A change of one entry of the document: `_put("scale", "huge")`; `...` removes it."""

    def change(document):
        *outer, last, value = path
        for key in outer:
            document = document[key]
        if value is ...:
            del document[last]
        else:
            document[last] = value

    return change


def _sequel(**entries):
    """A change that turns the sum of multi_mnist into a sequel as well."""

    def change(document):
        line = {**document["experiments"]["multi_mnist"]["sum"], **entries}
        document["sequels"] = {"multi_mnist": {"recon-sum": line}}

    return change


SEARCH = ("studies", "search", "multi_mnist")
FRONT = ("studies", "fronts", "multi_mnist")

BAD = {
    "study of nothing": (_put("studies", "search", "mnist", {}), "`studies.search.mnist` must hold `methods`"),
    "study of an unknown line": (
        _put(*SEARCH, "methods", ["sum", "pcgard"]),
        "`studies.search.multi_mnist.methods` must name lines of `experiments.multi_mnist` (pcgrad, sum), "
        "found 'pcgard'.",
    ),
    "study of a reference line": (
        _put(*PCGRAD_LINE, "track", "reference"),
        "must name lines of track controlled, found 'pcgrad' of track reference",
    ),
    "study without trials": (_put(*SEARCH, "trials", 0), "`studies.search.multi_mnist.trials` must be a whole number"),
    "study on seen seeds": (_put(*SEARCH, "seeds", [0, 1]), "must be fresh, found the search's own seed 0"),
    "study judged on test": (
        _put("protocols", "multi_mnist", "selection", "best-test"),
        "must be one of best-val, last for a search, found 'best-test'",
    ),
    "study of a repeated line": (_put(*SEARCH, "methods", ["sum", "sum"]), "must be a list of different lines"),
    "static weights of pcgrad": (_put(*SEARCH, "static", "pcgrad"), "must name a line with balancer equal and a sum"),
    "points for two tasks": (_put(*FRONT, "points", 4), "must hold `shares` and not the other for 2 tasks"),
    "a share of everything": (_put(*FRONT, "shares", [0.5, 1.0]), "must be a list of numbers between 0 and 1"),
    "small study of nothing": (_put("studies", "smoke", "problems", ["census"]), "found 'census'."),
    "unknown scale": (_put("scale", "huge"), "`scale` must be one of smoke, laptop, paper, found 'huge'."),
    "unknown method": (
        _put(*PCGRAD_LINE, "aggregator", {"name": "pcgard"}),
        "`aggregators` must name one of",
    ),
    "unknown field": (
        _put(*PCGRAD_LINE, "aggregator", "orders", "fixed"),
        "`pcgrad.orders` is no field",
    ),
    "wrong type": (
        _put("experiments", "cagrad_toy", "mean", "aggregator", {"name": "cagrad", "c": "half"}),
        "found 'half'",
    ),
    "negative c": (
        _put(*PCGRAD_LINE, "aggregator", {"name": "cagrad", "c": -1.0}),
        "found c = -1.0.",
    ),
    "missing problem": (_put("problems", "multi_mnist", ...), "`experiments` must group lines by problem"),
    "unknown problem": (
        _put(*PCGRAD_LINE, "problem", "mnist"),
        "`experiments.multi_mnist.pcgrad.problem`",
    ),
    "wrong problem": (
        _put(*PCGRAD_LINE, "problem", "cagrad_toy"),
        "must be the problem it stands under, found 'cagrad_toy'",
    ),
    "evidence of an experiment": (
        _put(*PCGRAD_LINE, "evidence", "multi_mnist-sum"),
        "`evidence` belongs to a line of `sequels`",
    ),
    "sequel without evidence": (_sequel(), "`sequels.multi_mnist.recon-sum.evidence` must name an experiment"),
    "sequel of nothing": (_sequel(evidence="multi_mnist-score"), "found 'multi_mnist-score'."),
    "sequel of one without scores": (_sequel(evidence="multi_mnist-sum"), "must name one with `learner.score_layers`"),
    "missing scale block": (_put("problems", "multi_mnist", "paper", ...), "`problems.multi_mnist` must hold `paper`"),
    "unknown section": (_put("experimets", {}), "`params.yaml.experimets` is no field"),
    "no name": (_put(*PCGRAD_LINE, "balancer", {}), "must hold a `name`"),
    "not a block": (
        _put(*PCGRAD_LINE, "aggregator", "pcgrad"),
        "must be a block of named values",
    ),
    "unknown setting": (_put("problems", "multi_mnist", "smoke", "epoch", 3), "`overlay.epoch` is no field"),
    "seeds": (_put("problems", "multi_mnist", "smoke", "seeds", 3), "must be a list of whole numbers"),
    "unknown data set": (_put("problems", "multi_mnist", "prepare", "left", "mnits"), "found 'mnits'"),
    "inputs differ": (_put("problems", "multi_mnist", "inputs", "left", "data/raw/other"), "must agree with `prepare`"),
    "unknown module": (_put("problems", "multi_mnist", "module", "overlays"), "`problems.multi_mnist.module`"),
    "unknown track": (
        _put(*PCGRAD_LINE, "track", "mine"),
        "must be one of controlled, as-published",
    ),
    "other name at a scale": (
        _put(*PCGRAD_LINE, "paper", {"aggregator": {"name": "cagrad"}}),
        "`experiments.multi_mnist.pcgrad.paper.aggregator` must not name another one, found 'cagrad'.",
    ),
    "seeds of a line": (
        _put(*PCGRAD_LINE, "paper", {"seeds": []}),
        "`experiments.multi_mnist.pcgrad.paper.seeds` must be a list of whole numbers from 0 on, found [].",
    ),
    "unknown part at a scale": (
        _put(*PCGRAD_LINE, "paper", {"track": "controlled"}),
        "`experiments.multi_mnist.pcgrad.paper.track` is no field",
    ),
    "unknown selection": (_put("protocols", "multi_mnist", "selection", "best"), "must be one of best-val, last"),
    "negative band": (_put("regression", "bands", "loss", -1), "must be a non-negative number, found -1"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch, params):
    """An empty folder with a good params.yaml, entered."""
    document = copy.deepcopy(params)
    document["datasets"] = {"digits": {}}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return tmp_path


def _refused(folder, capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(pipelines.train.main(arguments))
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1, printed.err
    assert [path.name for path in folder.iterdir()] == ["params.yaml"], "nothing may be written"
    return printed.err


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_line_anywhere_is_refused(folder, capsys, case):
    change, expected = BAD[case]
    document = yaml.safe_load((folder / "params.yaml").read_text())
    change(document)
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    # another experiment than the wrong one is asked for: the whole file counts
    assert expected in _refused(folder, capsys, "multi_mnist-sum")


def test_broken_yaml_is_refused(folder, capsys):
    (folder / "params.yaml").write_text("scale: [laptop\n", encoding="utf-8")
    assert "must be valid YAML" in _refused(folder, capsys, "multi_mnist-sum")


def test_an_experiment_that_is_not_in_the_table_is_refused(folder, capsys):
    message = _refused(folder, capsys, "multi_mnist-pcgard")
    assert "'multi_mnist-pcgard'" in message
    assert PCGRAD in message


def test_missing_data_is_refused(folder, capsys):
    assert "found none: run `dvc repro prepare@multi_mnist` first" in _refused(folder, capsys, "multi_mnist-sum")


def test_a_folder_without_params_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="must exist in the current folder"):
        load()


def test_the_good_file_is_read(folder):
    params = load()
    experiment = params.experiment(PCGRAD)
    assert experiment.seeds == (0, 1)
    assert experiment.declaration["aggregator"] == {"name": "pcgrad"}
    assert experiment.declaration["settings"]["epochs"] == 4
    assert "seeds" not in experiment.declaration["settings"]


def test_a_line_can_differ_at_one_scale(folder):
    document = yaml.safe_load((folder / "params.yaml").read_text())
    line = document["experiments"]["multi_mnist"]["pcgrad"]
    line["aggregator"] = {"name": "pcgrad", "order": "fixed"}
    line["smoke"] = {"aggregator": {"reduction": "mean"}, "settings": {"epochs": 7}, "learner": {"diagnose_every": 5}}
    line["paper"], line["track"] = {"settings": {"epochs": 100}}, "reference"
    document["studies"]["search"] = {}  # which takes controlled lines only
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    declaration = load().experiment(PCGRAD).declaration
    assert declaration["aggregator"] == {"name": "pcgrad", "order": "fixed", "reduction": "mean"}
    assert declaration["settings"]["epochs"] == 7
    assert declaration["learner"]["diagnose_every"] == 5
    assert not {"smoke", "paper"} & set(declaration)
    assert load().experiment(PCGRAD).seeds == (0, 1)
    line["smoke"]["seeds"] = [1]
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    assert load().experiment(PCGRAD).seeds == (1,)
    assert load().experiment("multi_mnist-sum").seeds == (0, 1)


def test_our_own_file_is_good_at_every_scale(tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for scale in ("smoke", "laptop", "paper"):
        (tmp_path / "params.yaml").write_text(text.replace("scale: laptop", f"scale: {scale}", 1), encoding="utf-8")
        assert load(tmp_path / "params.yaml").scale == scale


def _exits(**front):
    settings = {"network": {"name": "sdn_resnet"}, "exits": 3, "epochs": 1, "lr": 0.1}
    declaration = {
        "module": "multi_exit",
        "settings": settings,
        "balancer": {"name": "equal"},
        "aggregator": {"name": "sum"},
    }
    line = Experiment("exits-sum", "exits", "train@sum", "controlled", (0,), declaration)
    return read_studies(
        {"fronts": {"exits": {"line": "sum", "seeds": [0], **front}}}, "laptop", {"exits-sum": line}, {}
    )


def test_three_tasks_get_sobol_points():
    weights = _exits(points=5).fronts["exits"].weights
    assert list(weights) == [f"static-point{i:02d}" for i in range(5)]
    assert all(len(row) == 3 and sum(row) == pytest.approx(1.0, abs=1e-3) for row in weights.values())
    with pytest.raises(ValueError, match="must hold `points` and not the other for 3 tasks"):
        _exits(shares=[0.5])


def test_scale_smoke_cuts_the_studies_and_no_other_scale_does(folder):
    small = load().studies
    assert small.searches["multi_mnist"].trials == 2
    document = yaml.safe_load((folder / "params.yaml").read_text())
    document["studies"]["smoke"]["points"] = 1
    document["studies"]["search"]["multi_mnist"]["trials"] = 9
    for scale, counts in (("smoke", (2, 1)), ("laptop", (9, 3))):
        document["scale"] = scale
        (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        found = load().studies
        assert (found.searches["multi_mnist"].trials, len(found.fronts["multi_mnist"].weights)) == counts
