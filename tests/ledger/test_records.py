"""The ledger is well formed, and what can be recomputed from a published table is recomputed."""

import shutil
from pathlib import Path

import pytest
import yaml

from gradsurgery.ledger.records import check_provenance
from pipelines._blocks import whole_blocks
from pipelines.report import declared_experiments, gather
from tests.published import FOLDER, PAPERS, paper


@pytest.mark.parametrize("key", PAPERS)
def test_every_record_is_valid_and_answered_or_explained(key: str) -> None:
    records = paper(key).records
    assert len(records) > 50
    assert all((r.answered_by is None) != (r.unanswered is None) for r in records)
    assert any(r.headline for r in records)


def declared() -> set[str]:
    document = yaml.safe_load((FOLDER.parents[1] / "params.yaml").read_text(encoding="utf-8"))
    return declared_experiments(whole_blocks("problems", document["problems"]))


def test_all_seven_papers_are_there() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} >= set(PAPERS)


@pytest.mark.parametrize("key", PAPERS)
def test_every_named_experiment_is_declared(key: str) -> None:
    check_provenance([paper(key)], declared())


def test_a_record_that_loses_its_experiment_is_refused() -> None:
    message = "`answered_by` of pcgrad/toy-lower-loss must name an experiment of the table, found 'pcgrad_toy-sum'"
    with pytest.raises(ValueError, match=message):
        check_provenance([paper("pcgrad")], declared() - {"pcgrad_toy-sum"})


def test_the_report_refuses_a_ledger_that_names_a_missing_experiment(checkout: Path) -> None:
    shutil.copytree(FOLDER, checkout / "data/published")
    table = {"problems": {"pcgrad_toy": {"methods": {"pcgrad": None}}}}
    (checkout / "params.yaml").write_text(yaml.safe_dump(table))
    with pytest.raises(ValueError, match=r"`answered_by` of .* must name an experiment of the table, found"):
        gather(checkout)
