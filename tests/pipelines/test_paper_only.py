"""Problems that are for some scales alone, and the data sets that only they read."""

from pathlib import Path

import numpy as np
import pytest

from gradsurgery.report.titles import title
from pipelines import prepare
from pipelines._arrays import install
from pipelines._params import load, read
from pipelines._problems import SCALES, is_run
from pipelines._yaml import read_yaml
from pipelines.evaluate import read_papers
from pipelines.fetch import _asked

ROOT = Path(__file__).parents[2]
PAPER = {"nyuv2", "cityscapes", "nyuv2_recon", "cityscapes_recon", "nyuv2_mtan", "cityscapes_mtan"}


def _documents():
    return read_yaml(ROOT / "params.yaml"), read_yaml(ROOT / "data/pins.yaml")


def test_a_scale_that_is_null_is_left_out_and_overnight_must_be_there():
    block = {"smoke": None, "overnight": {}, "paper": {}}
    assert [scale for scale in SCALES if is_run(block, scale)] == ["laptop", "overnight", "paper"]
    assert [scale for scale in SCALES if is_run({}, scale)] == ["smoke", "laptop", "paper"]


@pytest.mark.parametrize("scale", SCALES)
def test_licensed_sets_are_of_scale_paper_and_fetched_there_alone(scale):
    params = load(ROOT / "params.yaml", scale)
    assert (set(params.problems) >= PAPER) == (scale == "paper")
    assert ({"nyuv2", "cityscapes"} <= set(_asked(params))) == (scale == "paper")


def test_a_data_set_that_no_problem_reads_is_fetched_too():
    document, pins = _documents()
    document["datasets"]["mine"] = {"arrays": {"x": {}}, "sources": [{"kind": "file", "path": "mine.npz"}]}
    assert "mine" in _asked(read(document, pins, trusted=True))


def test_a_wrong_setting_of_a_scale_that_is_run_is_still_found():
    document, pins = _documents()
    document["problems"]["nyuv2"]["paper"]["selection"] = "best"
    with pytest.raises(ValueError, match=r"`problems.nyuv2.paper.selection` must be one of"):
        read(document, pins)


def test_raw_arrays_without_a_pin_are_read_and_those_with_one_are_held_to_it(tmp_path):
    install({"x": np.arange(3)}, tmp_path / "mine")
    np.testing.assert_array_equal(prepare.read(tmp_path / "mine", {"x": {}})["x"], np.arange(3))
    with pytest.raises(ValueError, match=r"must hold the values that data/pins.yaml pins for `mine.x`"):
        prepare.read(tmp_path / "mine", {"x": {"sha256": "0" * 64}})


def test_a_twin_is_named_one_and_answers_no_record():
    problems = load(ROOT / "params.yaml", "smoke").problems
    twins = {name for name, block in problems.items() if block.settings.get("twin")}
    assert twins == {"nyuv2_twin", "cityscapes_twin", "imagenet_exits_twin", "imagenet_mae_twin"}
    datasets = load(ROOT / "params.yaml").datasets
    for name in twins:
        assert "twin" in title(name)
        assert "twin" in datasets[problems[name].prepare["left"]]["title"]
    answers = [r.answered_by for paper in read_papers(ROOT / "data/published") for r in paper.records if r.answered_by]
    named = {name for answer in answers for name in (answer.experiment, answer.minus or "")}
    assert answers
    assert not [name for name in named if name.startswith(tuple(f"{twin}-" for twin in twins))]
