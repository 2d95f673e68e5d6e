"""protocol.yaml: a wrong line is refused with one sentence, and its hash covers what it decides by, no more."""

import copy
import dataclasses
import json
import re
from pathlib import Path

import pytest

from gradsurgery.ledger.protocol import Design
from pipelines._evidence import read_papers
from pipelines._protocol import LISTED, NAME, check_runs, parse, read_changes, registered
from pipelines._yaml import read_yaml

ROOT = Path(__file__).parents[2]
PAPERS = read_papers(ROOT / "data/published")
DESIGN = {"claim": "multi-mnist-left", "scale": "overnight", "n": 10, "rule": "fixed n"}
DOCUMENT = {
    "alpha": 0.05, "power": 0.8, "margins": {"accuracy": 0.005}, "seeds": {"first": 1000},
    "families": {"pcgrad": [DESIGN]},
}  # fmt: skip
BAD = {
    "no seeds": ({"seeds": {}}, "`seeds` must hold `first`"),
    "seeds of tuning": ({"seeds": {"first": 3}}, "`seeds.first` must be a whole number from 1000 on, found 3"),
    "a level of one": ({"alpha": 1}, "`alpha` must be a number above 0 and below 0.5, found 1"),
    "no power": ({"power": True}, "`power` must be a number above 0.5 and below 1, found True"),
    "a metric's typing error": ({"margins": {"acuracy": 0.005}}, "found 'acuracy'; did you mean accuracy"),
    "no margin": ({"margins": {"auc": 0.002}}, "`margins` must hold 'accuracy', which 'multi-mnist-left' is judged by"),
    "a margin of nothing": ({"margins": {"accuracy": 0.0}}, "`margins.accuracy` must be a number above 0"),
    "a paper's typing error": ({"families": {"pcgard": [DESIGN]}}, "found 'pcgard'; did you mean pcgrad"),
    "no designs": ({"families": {"pcgrad": []}}, "`families.pcgrad` must be a list of designs"),
    "a claim twice": ({"families": {"pcgrad": [DESIGN, DESIGN]}}, "`families.pcgrad.1.claim` must stand once"),
    "an entry too many": ({"margin": 1}, "is no field of it"),
}
BAD_DESIGN = {
    "an unknown claim": ({"claim": "multi-mnist-lft"}, "found 'multi-mnist-lft'; did you mean multi-mnist-left"),
    "a count": ({"claim": "toy-adam-stalls"}, "`families.pcgrad.0.claim` must be one of"),
    "one seed": ({"n": 1}, "`families.pcgrad.0.n` must be a whole number from 2 to 1000, found 1"),
    "an unknown scale": ({"scale": "overnigth"}, "did you mean overnight?"),
    "an unknown rule": ({"rule": "until it shows"}, "`families.pcgrad.0.rule` must be one of fixed n"),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD.keys())
def test_a_wrong_line_is_refused(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse({**DOCUMENT, **change}, PAPERS)


@pytest.mark.parametrize(("change", "said"), BAD_DESIGN.values(), ids=BAD_DESIGN.keys())
def test_a_wrong_design_is_refused(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse({**DOCUMENT, "families": {"pcgrad": [{**DESIGN, **change}]}}, PAPERS)


def test_a_claim_that_nothing_answers_is_refused():
    design = {**DESIGN, "claim": "convergence"}
    unanswered = {**DESIGN, "claim": "synthetic-drop"}
    for paper, one in (("dr_mgf", design), ("drgrad", unanswered)):
        with pytest.raises(ValueError, match="must be one"):
            parse({**DOCUMENT, "families": {paper: [one]}}, PAPERS)


def test_what_it_holds():
    found = parse(DOCUMENT, PAPERS)
    design = Design("pcgrad/multi-mnist-left", "overnight", 10, lines=("multi_mnist-pcgrad", "multi_mnist-mgda"))
    assert found.design("pcgrad/multi-mnist-left") == design
    assert found.design("pcgrad/multi-mnist-right") is None
    assert list(found.seeds(design)) == list(range(1000, 1010))
    assert (found.margin("left.accuracy"), found.margin("income.auc")) == (0.005, None)


def test_registered_runs_go_seed_by_seed_in_the_order_of_the_papers():
    second = {"claim": "fashion-mgda", "scale": "overnight", "n": 2, "rule": "fixed n"}
    margins = {"accuracy": 0.005, "final_train_loss": 0.005}
    families = {"pcgrad": [{**DESIGN, "n": 2}], "cagrad": [second]}
    found = parse({**DOCUMENT, "margins": margins, "families": families}, PAPERS)
    lines = ("multi_fashion_mnist-mean", "multi_fashion_mnist-mgda", "multi_mnist-mgda", "multi_mnist-pcgrad")
    runs = [
        (turn, line)
        for line in lines
        for seed in (999, 1000, 1001, 1002)
        if (turn := found.turn(line, seed, "overnight"))
    ]
    assert [(turn[1], line) for turn, line in sorted(runs)] == [
        (seed, line) for pair in (lines[2:], lines[:2]) for seed in (1000, 1001) for line in pair
    ]
    assert found.turn("multi_mnist-pcgrad", 1000, "laptop") is None
    assert list(found.asked("multi_mnist-pcgrad", "overnight")) == [1000, 1001]
    assert list(found.asked("multi_mnist-sum", "overnight")) == []


def test_a_table_without_a_registered_line_or_seed_is_refused():
    found = parse(DOCUMENT, PAPERS)
    seeds = {line: range(1000, 1010) for line in ("multi_mnist-pcgrad", "multi_mnist-mgda")}
    check_runs(found, "overnight", seeds)
    check_runs(found, "laptop", {})
    with pytest.raises(ValueError, match=r"`seeds` of multi_mnist-mgda must hold the 10 from 1000 on .* without 1009"):
        check_runs(found, "overnight", {**seeds, "multi_mnist-mgda": range(1000, 1009)})
    with pytest.raises(ValueError, match="found no such line at scale overnight"):
        check_runs(found, "overnight", {})


def test_a_comment_is_no_deviation_and_everything_else_is(tmp_path):
    text = (ROOT / NAME).read_text(encoding="utf-8")
    (tmp_path / NAME).write_text("# another reason\n" + text, encoding="utf-8")
    committed = registered(ROOT, PAPERS)
    assert registered(tmp_path, PAPERS) == committed
    document = read_yaml(ROOT / NAME)
    hashes = {committed.sha256}
    for path, value in ((("alpha",), 0.01), (("margins", "accuracy"), 0.05), (("families", "pcgrad", 0, "n"), 9)):
        changed = copy.deepcopy(document)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        hashes.add(parse(changed, PAPERS).sha256)
    assert len(hashes) == 4


def test_another_experiment_under_a_claims_name_is_another_protocol():
    swapped = []
    for paper in PAPERS:
        records = tuple(
            dataclasses.replace(r, answered_by=dataclasses.replace(r.answered_by, experiment="multi_mnist-sum"))
            if r.id == "pcgrad/multi-mnist-left" else r for r in paper.records
        )  # fmt: skip
        swapped.append(dataclasses.replace(paper, records=records))
    assert parse(DOCUMENT, swapped).sha256 != parse(DOCUMENT, PAPERS).sha256


def test_changes_are_read_as_they_were_written_or_refused(tmp_path):
    assert read_changes(tmp_path) == []
    (tmp_path / LISTED).parent.mkdir()
    row = dict.fromkeys(("commit", "date", "subject", "changed"), "x")
    (tmp_path / LISTED).write_text(json.dumps([row, row]), encoding="utf-8")
    assert read_changes(tmp_path) == [row, row]
    for wrong in (3, None, {}, [3], [{}], [row, row | {"date": 1}], [row | {"more": "x"}]):
        (tmp_path / LISTED).write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(
            ValueError, match=r"deviations\.json must hold changed, commit, .*: run `python -m pipelines"
        ):
            read_changes(tmp_path)
