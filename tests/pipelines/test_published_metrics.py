"""Every record that names an experiment asks for something that this experiment has at scale paper."""

from pathlib import Path

import pytest

from gradsurgery.core.declaration import problem_of
from gradsurgery.evidence.measures import DERIVED, by_word
from gradsurgery.ledger.columns import COLUMNS
from pipelines._evidence import read_papers
from pipelines._params import CHECKED, load, sha256_of

ROOT = Path(__file__).parents[2]
ENDS = {*DERIVED, "solved", "stuck"}  # the latter two of a descent


@pytest.fixture(scope="module")
def lines():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHECKED, sha256_of(ROOT / "params.yaml"))  # whether it is right is another test's business
        return load(ROOT / "params.yaml", "paper").experiments


def test_every_record_asks_its_experiment_for_a_metric_that_it_has(lines):
    known = {}
    for record in (record for paper in read_papers(ROOT / "data/published") for record in paper.records):
        answer = record.answered_by
        if answer is None or answer.metric in COLUMNS:
            continue
        line = lines[answer.experiment]
        if line.problem not in known:
            problem = problem_of(line.declaration)
            means = {f"all.{word}" for word in by_word(problem.metrics)}
            known[line.problem] = {
                *problem.metrics,
                *means,
                *(f"{task}.train_loss" for task in ("all", *problem.tasks)),
            }
        own = known[line.problem]
        assert answer.metric in own | ENDS, record.id


def test_what_recon_counts_is_counted_by_the_lines_that_are_asked_for_it(lines):
    asked = 0
    for record in (record for paper in read_papers(ROOT / "data/published") for record in paper.records):
        answer = record.answered_by
        if answer and answer.metric.split(".")[0] in ("bins", "fewer", "ranking"):
            asked += 1
            for name in filter(None, (answer.experiment, answer.minus)):
                counted = lines[name].declaration["learner"]["score_layers"]
                digits = answer.metric.rsplit("_", 1)[-1]
                wanted = {"distance": -0.1, "quarter": -0.1, "0": 0.0}.get(
                    digits, -int(digits) / 100 if digits.isdigit() else 0
                )
                assert wanted in counted, (record.id, wanted, counted)
    assert asked > 50
