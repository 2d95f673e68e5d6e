"""Bad input: one clear sentence on stderr, exit code 2, and nothing written."""

import copy
import importlib
import math
import re
from pathlib import Path

import pytest
import yaml

import pipelines.train
from pipelines._params import CHECKED, load, read, sha256_of
from tests.pipelines.conftest import settle

ROOT = Path(__file__).parents[2]
PCGRAD = "multi_mnist-pcgrad"
PCGRAD_LINE = ("methods", "pcgrad")


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


def _line(key, **entries):
    """A change that adds a line to multi_mnist, `like` the sum."""

    def change(document):
        document["methods"][key] = {"like": "sum", **entries}
        document["problems"]["multi_mnist"]["methods"][key] = None

    return change


def _own(**entries):
    """A change that has a line of multi_mnist say something itself."""
    return _put("problems", "multi_mnist", "methods", "pcgrad", entries)


SEARCH = ("studies", "search", "multi_mnist")

BAD = {
    "study of nothing": (
        _put("studies", "search", "mnist", {}),
        "`studies.search` must be one of cagrad_toy, multi_mnist, found 'mnist'",
    ),
    "study of an unknown line": (
        _put(*SEARCH, "methods", ["sum", "pcgard"]),
        "`studies.search.multi_mnist.methods` must be one of pcgrad, sum, found 'pcgard'; did you mean pcgrad?",
    ),
    "study of a reference line": (
        _put(*PCGRAD_LINE, "track", "reference"),
        "must name lines of track controlled, found 'pcgrad' of track reference",
    ),
    "study without trials": (_put(*SEARCH, "trials", 0), "`studies.search.multi_mnist.trials` must be a whole number"),
    "study on seen seeds": (_put(*SEARCH, "seeds", [0, 1]), "must be fresh, found the search's own seed 0"),
    "study judged on test": (
        _put("problems", "multi_mnist", "selection", "best-test"),
        "must be one of best-val, last, found 'best-test'",
    ),
    "study of a repeated line": (_put(*SEARCH, "methods", ["sum", "sum"]), "must be a list of different lines"),
    "static weights of pcgrad": (_put(*SEARCH, "static", "pcgrad"), "must name a line with balancer equal and a sum"),
    "small study of nothing": (_put("studies", "smoke", "problems", ["census"]), "found 'census'."),
    "unknown scale": (_put("scale", "huge"), "`scale` must be one of smoke, laptop, overnight, paper, found 'huge'."),
    "unknown method": (
        _put(*PCGRAD_LINE, "aggregator", {"name": "pcgard"}),
        "methods.pcgrad.aggregator.name` must be one of cagrad, gcond,",
    ),
    "unknown field": (
        _put(*PCGRAD_LINE, "aggregator", "orders", "fixed"),
        "`pcgrad.orders` is no field",
    ),
    "wrong type": (
        _put("methods", "mean", "aggregator", {"name": "cagrad", "c": "half"}),
        "found 'half'",
    ),
    "negative c": (
        _put(*PCGRAD_LINE, "aggregator", {"name": "cagrad", "c": -1.0}),
        "found c = -1.0.",
    ),
    "line of no method": (
        _put("methods", "pcgrad", ...),
        "`problems.cagrad_toy.methods` must be one of mean, sum, found 'pcgrad'.",
    ),
    "an unknown field of a line": (_own(agregator={}), "`problems.multi_mnist.methods.pcgrad.agregator` is no field"),
    "a line that is no block": (_put("problems", "multi_mnist", "methods", "pcgrad", 3), "found 3."),
    "family of no folder": (
        _put("methods", "pcgrad", "family", "../x"),
        "`methods.pcgrad.family` must have names of up",
    ),
    "no role": (
        _put("methods", "pcgrad", "role", ...),
        "`methods.pcgrad` must hold `role`, found only aggregator, family.",
    ),
    "unknown role": (_put("methods", "pcgrad", "role", "studdy"), "must be one of study, baseline, repeat,"),
    "role without a line": (
        _put("methods", "pcgrad", "role", {"kind": "control"}),
        "`methods.pcgrad.role.of` must name a line for kind control, found None.",
    ),
    "role of an unknown line": (
        _put("methods", "pcgrad", "role", {"kind": "control", "of": "smu"}),
        "`methods.pcgrad.role.of` must name another line of cagrad_toy, found 'smu'",
    ),
    "role of itself": (
        _put("methods", "pcgrad", "role", {"kind": "control", "of": "pcgrad"}),
        "`methods.pcgrad.role.of` must name another line of cagrad_toy, found 'pcgrad'",
    ),
    "a base too many": (
        _put("methods", "pcgrad", "role", {"kind": "control", "of": "sum", "base": "sum"}),
        "`methods.pcgrad.role.base` is no field of kind control; its fields are: kind, of.",
    ),
    "equal compute without a base": (
        _put("methods", "pcgrad", "role", {"kind": "equal_compute", "of": "sum"}),
        "`methods.pcgrad.role.base` must name a line for kind equal_compute, found None.",
    ),
    "evidence of nothing": (
        _line("recon-sum", evidence="summ"),
        "`methods.recon-sum.evidence` must name another line of multi_mnist that scores layers, found 'summ'.",
    ),
    "evidence of itself": (
        _line("recon-sum", evidence="recon-sum"),
        "must name another line of multi_mnist that scores layers, found",
    ),
    "evidence without scores": (
        _line("recon-sum", evidence="sum"),
        "must name another line of multi_mnist that scores layers, found 'sum'",
    ),
    "no settings at a scale": (_put("problems", "multi_mnist", "paper", ...), "`overlay.epochs` must be given"),
    "no seeds at a scale": (
        _put("problems", "multi_mnist", "settings", "seeds", ...),
        "multi_mnist.laptop` must hold `seeds`",
    ),
    "like nothing": (_line("twin", like="summ"), "`methods.twin.like` must be one of mean, pcgrad, sum, twin, found"),
    "like itself": (_line("twin", like="twin"), "`methods.twin.like` must not lead back to itself, found 'twin'."),
    "a problem like nothing": (
        _put("problems", "cagrad_toy", {"like": "multi_mnits"}),
        "`problems.cagrad_toy.like` must be one of cagrad_toy, multi_mnist, found 'multi_mnits'; did you mean",
    ),
    "unknown section": (_put("experimets", {}), "`params.yaml.experimets` is no field"),
    "no name": (_put("problems", "multi_mnist", "network", {"variant": "cagrad"}), "must hold a `name`"),
    "not a block": (
        _put(*PCGRAD_LINE, "aggregator", "pcgrad"),
        "must be a block of named values",
    ),
    "unknown setting": (_put("problems", "multi_mnist", "smoke", "epoch", 3), "`overlay.epoch` is no field"),
    "seeds": (_put("problems", "multi_mnist", "smoke", "seeds", 3), "must be a list of whole numbers"),
    "unknown data set": (_put("problems", "multi_mnist", "prepare", "left", "mnits"), "found 'mnits'"),
    "unknown module": (_put("problems", "multi_mnist", "module", "overlays"), "`problems.multi_mnist.module`"),
    "unknown track": (
        _put(*PCGRAD_LINE, "track", "mine"),
        "must be one of controlled, as-published",
    ),
    "seeds of a line": (
        _put(*PCGRAD_LINE, "paper", {"seeds": []}),
        "`methods.pcgrad.paper.seeds` must be a list of whole numbers from 0 on, found [].",
    ),
    "unknown part at a scale": (
        _put(*PCGRAD_LINE, "paper", {"track": "controlled"}),
        "`methods.pcgrad.paper.track` is no field",
    ),
    "unknown selection": (_put("problems", "multi_mnist", "selection", "best"), "must be one of best-val, last"),
    "the rule that sees the test set": (
        _put("problems", "multi_mnist", "selection", "best-test"),
        "`problems.multi_mnist.selection` must be one of best-val, last, found 'best-test', which looks at",
    ),
    "the same at a scale": (
        _put("problems", "multi_mnist", "laptop", "selection", "last10"),
        "`problems.multi_mnist.laptop.selection` must be one of best-val, last, found 'last10'",
    ),
    "a choice by what is trained on": (
        _put("problems", "multi_mnist", "paper", "selection", "best-val"),
        "`problems.multi_mnist.paper.selection` must not be best-val where hold_out = false",
    ),
    "a line that trains on what chooses its epoch": (
        _put(*PCGRAD_LINE, "settings", {"hold_out": False}),
        "methods.pcgrad.settings.hold_out` must be the problem's to say",
    ),
    "unknown selection at a scale": (
        _put("problems", "multi_mnist", "paper", "selection", "first"),
        "`problems.multi_mnist.paper.selection` must be one of best-val, last, last10, best-test, found 'first'",
    ),
    "an unknown line at a scale": (
        _put("problems", "multi_mnist", "laptop", "methods", ["sum", "pcgard"]),
        "`problems.multi_mnist.laptop.methods` must be one of pcgrad, sum, found 'pcgard'; did you mean pcgrad?",
    ),
    "no line at a scale": (
        _put("problems", "multi_mnist", "laptop", "methods", []),
        "`problems.multi_mnist.laptop.methods` must be a list of its lines, found [].",
    ),
    "a count of no seeds": (
        _put("problems", "multi_mnist", "laptop", "seeds", {"count": 0}),
        "`problems.multi_mnist.laptop.seeds.count` must be a whole number from 1 to 1000, found 0.",
    ),
    "more of an unknown setting": (
        _put(*PCGRAD_LINE, "settings", {"epochs": "exits + 1"}),
        "settings.epochs` must be one of",
    ),
    "negative band": (_put("regression", "bands", "loss", -1), "must be a non-negative number, found -1"),
    "band of NaN": (
        _put("regression", "bands", "loss", math.nan),
        "`regression.bands.loss` must be finite, found nan.",
    ),
    "band of no metric": (_put("regression", "bands", "acuracy", 0.1), "found 'acuracy'; did you mean accuracy"),
    "exception of nobody": (
        _put("regression", "exceptions", {"cagrad_toi": {"loss": {"band": 1.0, "reason": "x"}}}),
        "`regression.exceptions` must be one of",
    ),
    "exception of another problem's metric": (
        _put("regression", "exceptions", {"cagrad_toy": {"accuracy": {"band": 1.0, "reason": "x"}}}),
        "`regression.exceptions.cagrad_toy` must be one of loss, solved, found 'accuracy'.",
    ),
    "exception without a reason": (
        _put("regression", "exceptions", {"cagrad_toy": {"loss": {"band": 1.0, "reason": " "}}}),
        "`regression.exceptions.cagrad_toy.loss.reason` must be a text",
    ),
    "a seed twice": (
        _put("problems", "multi_mnist", "smoke", "seeds", [0, 0]),
        "`problems.multi_mnist.smoke.seeds` must be different numbers, found [0, 0].",
    ),
    "a seed twice at another scale": (
        _put("problems", "multi_mnist", "paper", "seeds", [1, 1]),
        "`problems.multi_mnist.paper.seeds` must be different numbers",
    ),
    "true for a number": (
        _put("problems", "multi_mnist", "smoke", "lr", True),
        "`overlay.lr` must be a number, found True.",
    ),
    "true for a number at another scale": (
        _put("problems", "multi_mnist", "laptop", "epochs", True),
        "problems.multi_mnist.methods.pcgrad at scale laptop: `overlay.epochs` must be a whole number, found True.",
    ),
    "unknown field at another scale": (
        _put("problems", "multi_mnist", "paper", "epoch", 3),
        "problems.multi_mnist.methods.pcgrad at scale paper: `overlay.epoch` is no field of overlay",
    ),
    "wrong field of a line at another scale": (
        _put(*PCGRAD_LINE, "paper", {"aggregator": {"order": "backwards"}}),
        "problems.cagrad_toy.methods.pcgrad at scale paper: `pcgrad.order` must be one of 'random', 'fixed'",
    ),
    "milestones that fall": (
        _put("problems", "multi_mnist", "laptop", "milestones", [4, 2]),
        "`milestones` must be epochs from 1 on that rise, found milestones = [4, 2].",
    ),
    "a milestone below 1": (_put("problems", "multi_mnist", "laptop", "milestones", [-1]), "found milestones = [-1]."),
    "a milestone after the end": (
        _put("problems", "multi_mnist", "laptop", "milestones", [2, 9]),
        "at scale laptop: `milestones` must lie within the",
    ),
    "a milestone twice": (
        _put("problems", "multi_mnist", "laptop", "milestones", [2, 2]),
        "found milestones = [2, 2].",
    ),
    "momentum of 1": (
        lambda d: d["problems"]["multi_mnist"]["paper"].update(optimizer="sgd", momentum=1.0),
        "`momentum` must be less than 1, found momentum = 1.0.",
    ),
    "unknown landscape": (
        _put("problems", "cagrad_toy", "prepare", "landscape", "cagrad_toi"),
        "problems.cagrad_toy: `prepare.landscape` must be one of 'cagrad_toy',",
    ),
    "another landscape than was prepared": (
        _put("problems", "cagrad_toy", "paper", {"landscape": "pcgrad_toy"}),
        "`problems.cagrad_toy.paper.landscape` must be that of `problems.cagrad_toy.prepare`, 'cagrad_toy', found",
    ),
    "prepare of another problem": (
        _put("problems", "multi_mnist", "prepare", "perturbed_starts", 3),
        "problems.multi_mnist: `prepare.perturbed_starts` is no field of prepare; its fields are: left, right, seed.",
    ),
    "prepare without a seed": (
        _put("problems", "multi_mnist", "prepare", "seed", ...),
        "problems.multi_mnist: `prepare.seed` must be given, found nothing.",
    ),
    "a negative seed of prepare": (
        _put("problems", "multi_mnist", "prepare", "seed", -1),
        "problems.multi_mnist: `seed` must be non-negative, found seed = -1.",
    ),
    "a missing setting": (
        _put("problems", "cagrad_toy", "settings", "steps", ...),
        "problems.cagrad_toy.methods.mean at scale laptop: `landscape.steps` must be given, found nothing.",
    ),
    "unknown field of a data set": (
        _put("datasets", "digits", "titel", "x"),
        "`datasets.digits.titel` is no field of it; its fields are: arrays, licence, needs, sources, title; did",
    ),
    "a file in another folder": (
        _put("datasets", "digits", "arrays", "train_images", "file", "../x"),
        "`datasets.digits.arrays.train_images.file` must be the name of a file, without a folder, found '../x'.",
    ),
    "a name twice": (
        lambda d: (
            d["problems"].update({"multi_mnist-sum": d["problems"]["multi_mnist"]}),
            d["methods"].update({"sum-sum": {"like": "sum"}}),
            d["problems"]["multi_mnist"]["methods"].update({"sum-sum": None}),
        ),
        "`problems.multi_mnist-sum.methods.sum` must have a full name of its own, found multi_mnist-sum-sum twice.",
    ),
    "no table": (_put("problems", []), "`problems` must be a block of named values, found []."),
    "no lines": (_put("problems", "multi_mnist", "methods", ...), "`problems.multi_mnist` must hold `methods`"),
    "a number for a name": (lambda d: d["problems"].update({3: {}}), "`problems` must have texts for names, found 3."),
    "an unknown way to write a slot": (
        _put(*PCGRAD_LINE, "agregator", {"name": "pcgrad"}),
        "`methods.pcgrad.agregator` is no field of it",
    ),
    "an argument of build": (_put(*PCGRAD_LINE, "aggregator", "kind", "x"), "`pcgrad.kind` is no field of pcgrad"),
    "arrays for settings": (_put("problems", "multi_mnist", "smoke", "arrays", {}), "`settings.arrays` is no field"),
}
# What would leave the checkout, reach a shell as more than a word, or be taken for an option
NAMES = (
    "a/../../../x", "..", ".", "/etc/x", "a/b", "a b", "a;b", "$(touch x)", "`x`", "a'b", 'a"b', "-rf", "_x", "Sum",
    "a.b", "a\nb", "", "a@b", "a*", "~", "\u00e9", "x" * 65, "a:b", "a\\b", "a%20b", "a?b",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch, params, pins):
    """An empty folder with a good params.yaml and its pins, entered."""
    monkeypatch.chdir(tmp_path)
    settle(tmp_path, params, pins)
    return tmp_path


def _refused(folder, capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(pipelines.train.main(arguments))
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1, printed.err
    assert {path.name for path in folder.rglob("*")} == {"params.yaml", "data", "pins.yaml"}, "nothing may be written"
    return printed.err


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_line_anywhere_is_refused(folder, capsys, case):
    change, expected = BAD[case]
    document = yaml.safe_load((folder / "params.yaml").read_text())
    change(document)
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    # another experiment than the wrong one is asked for: the whole file counts
    assert expected in _refused(folder, capsys, "multi_mnist-sum")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_put("datasets", "digits", "train_images", "741c"), "train_images` must be a sha256, 64 hexadecimal digits"),
        (_put("datasets", "digits", "train_image", "0" * 64), "must be one of train_images, found 'train_image'; did"),
        (_put("datasets", "digits", {}), "must hold the sha256 of `datasets.digits.train_images`, found none."),
        (_put("datasets", "digitss", {}), "`data/pins.yaml: datasets` must be one of digits, found 'digitss'; did you"),
        (
            _put("problems", {"multi_mnits": {}}),
            "`data/pins.yaml: problems` must be one of multi_mnist, cagrad_toy, found",
        ),
        (
            _put("problems", {"multi_mnist": {"x": 3}}),
            "`data/pins.yaml: problems.multi_mnist.x` must be a sha256",
        ),
        (_put("data", {}), "`data/pins.yaml.data` is no field of it; its fields are: datasets, problems;"),
    ],
)
def test_a_wrong_pin_is_refused(folder, capsys, pins, change, expected):
    document = copy.deepcopy(pins)
    change(document)
    (folder / "data/pins.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    assert expected in _refused(folder, capsys, "multi_mnist-sum")


def test_a_scale_has_lines_seeds_and_a_rule_of_its_own(params, pins):
    document = copy.deepcopy(params)
    document["problems"]["multi_mnist"] |= {
        "overnight": {"epochs": 9, "train_size": 0, "val_size": 0, "test_size": 0, "seeds": {"count": 3}},
        "paper": {
            "epochs": 9,
            "train_size": 0,
            "val_size": 0,
            "test_size": 0,
            "methods": ["sum"],
            "selection": "last10",
        },
    }
    laptop, overnight, paper = (read(document, pins, scale=s) for s in ("laptop", "overnight", "paper"))
    assert "cagrad_toy" in laptop.problems
    assert set(overnight.experiments) == {"multi_mnist-pcgrad", "multi_mnist-sum"}, "no overnight block, not run there"
    assert overnight.experiments[PCGRAD].seeds == (1000, 1001, 1002)
    assert overnight.studies == {}
    assert [name for name in paper.experiments if name.startswith("multi_mnist")] == ["multi_mnist-sum"]
    assert [at.problems["multi_mnist"].selection for at in (laptop, overnight, paper)] == ["best-val"] * 2 + ["last10"]


def test_a_setting_follows_one_of_the_problem(params, pins):
    document = copy.deepcopy(params)
    document["problems"]["multi_mnist"]["methods"]["pcgrad"] = {
        "track": "reference",
        "settings": {"epochs": "epochs + 2"},
    }
    document["studies"] = {}
    assert read(document, pins).experiments[PCGRAD].declaration["settings"]["epochs"] == 6


def test_a_pin_stands_with_its_array(folder):
    assert load().datasets["digits"]["arrays"]["train_images"]["sha256"] == "0" * 64


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "block",
    [
        ("datasets",),
        ("datasets", "digits", "arrays"),
        ("problems",),
        ("methods",),
        ("problems", "multi_mnist", "methods"),
    ],
    ids=".".join,
)
def test_a_name_that_is_no_plain_word_is_refused_before_anything_is_made_of_it(params, pins, block, name):
    document = copy.deepcopy(params)
    inner = document
    for key in block:
        inner = inner[key]
    inner[name] = next(iter(inner.values()))
    where = re.escape(".".join(block))
    with pytest.raises(ValueError, match=rf"^`{where}` must have names of up to 64 small letters, .*found .*\.$"):
        read(document, pins)


@pytest.mark.parametrize("stage", ["train", "prepare", "fetch", "study", "why"])
@pytest.mark.parametrize("name", ["../../x", "multi_mnits", "/etc/passwd", "a b", "", "x" * 5000, "digitss"])
def test_every_command_refuses_an_unknown_name_in_one_line(folder, capsys, monkeypatch, stage, name):
    (folder / "data/published").mkdir(parents=True)
    (folder / "reports").mkdir()
    (folder / "reports/metrics.json").write_text('{"multi_mnist-sum": {"selection": "best-val"}}', encoding="utf-8")
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr("sys.argv", [stage, name])
    main = importlib.import_module(f"pipelines.{stage}").main
    assert main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: `")
    assert printed.err.count("\n") == 1
    assert repr(name) in printed.err
    near = {"multi_mnits": "multi_mnist", "digitss": "digits"}.get(name, "")
    if near and {"digitss": stage == "fetch", "multi_mnits": stage != "fetch"}[name]:
        assert f"did you mean {near}" in printed.err
    assert sorted(folder.rglob("*")) == before, "nothing may be written"


def test_what_dvc_writes_for_a_changed_number_is_read(folder):
    from dvc.utils.hydra import apply_overrides  # what `dvc exp run -S` calls

    apply_overrides(folder / "params.yaml", [
        "problems.cagrad_toy.settings.lr=0.00001", "problems.cagrad_toy.smoke.steps=1000",
        "regression.bands.loss=1e-05",
        "regression.bands.auc=1e-7",
    ])  # fmt: skip
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    assert text.count("1e-05") == 2
    assert text.count("1e-07") == 1
    params = load()
    assert params.experiments["cagrad_toy-mean"].declaration["settings"]["lr"] == 1e-5
    assert params.experiments["cagrad_toy-mean"].declaration["settings"]["steps"] == 1000
    assert (params.regression["bands"]["loss"], params.regression["bands"]["auc"]) == (1e-5, 1e-7)


def test_a_file_that_the_driver_has_checked_is_not_built_again(folder, monkeypatch):
    whole = load()
    document = yaml.safe_load((folder / "params.yaml").read_text())
    document["methods"]["pcgrad"]["aggregator"]["order"] = "backwards"
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ValueError, match=r"`pcgrad\.order`"):
        load()
    monkeypatch.setenv(CHECKED, sha256_of(folder / "params.yaml"))
    assert load().experiments.keys() == whole.experiments.keys()


def test_broken_yaml_is_refused(folder, capsys):
    (folder / "params.yaml").write_text("scale: [laptop\n", encoding="utf-8")
    assert "must be valid YAML" in _refused(folder, capsys, "multi_mnist-sum")


def test_an_experiment_that_is_not_in_the_table_is_refused(folder, capsys):
    message = _refused(folder, capsys, "multi_mnist-pcgard")
    assert "'multi_mnist-pcgard'" in message
    assert PCGRAD in message


def test_missing_data_is_refused(folder, capsys):
    assert "found none: run `python -m pipelines.prepare multi_mnist` first" in _refused(
        folder, capsys, "multi_mnist-sum"
    )


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
    line = document["methods"]["pcgrad"]
    line["aggregator"] = {"name": "pcgrad", "order": "fixed"}
    line["smoke"] = {"aggregator": {"reduction": "mean"}, "settings": {"epochs": 8}, "learner": {"diagnose_every": 5}}
    line["paper"], line["track"] = {"settings": {"epochs": 100}}, "reference"
    document["studies"] = {}  # which take controlled lines only
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    declaration = load().experiment(PCGRAD).declaration
    assert declaration["aggregator"] == {"name": "pcgrad", "order": "fixed", "reduction": "mean"}
    assert declaration["settings"]["epochs"] == 8
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


def test_scale_smoke_cuts_the_studies_and_no_other_scale_does(folder):
    small = load().studies
    assert small["multi_mnist"].trials == 2
    document = yaml.safe_load((folder / "params.yaml").read_text())
    document["studies"]["search"]["multi_mnist"]["trials"] = 9
    for scale, trials in (("smoke", 2), ("laptop", 9)):
        document["scale"] = scale
        (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        assert load().studies["multi_mnist"].trials == trials
