"""A sequel and the history it starts from."""

import json

import pytest

from pipelines._plan import evidence_in

SOURCE = "multi_mnist-sum-search"


def _line(seed, layers):
    return {
        "experiment": SOURCE, "problem": "multi_mnist", "seed": seed, "scale": "smoke", "track": "controlled",
        "family": "baselines", "role": {"kind": "baseline"},
        "declaration": {}, "tasks": ["left"], "metrics": {"left.accuracy": True}, "data_sha256": "0" * 64,
        "epochs": [{"epoch": 1, "val.left.accuracy": 0.5, "test.left.accuracy": 0.5}], "diagnostics": [],
        "skipped_steps": 0, "trajectory": None, "layers": layers,
    }  # fmt: skip


def _history(folder, **layers):
    lines = [
        _line(seed, {"names": ["a", "b"], "sizes": [3, 4], "steps": 9, "thresholds": [0.0], "scores": scores,
                     "whole": [[0] for _ in scores], **layers})
        for seed, scores in enumerate(([[[1], [0]], [[2], [5]]], [[[4], [1]]]))
    ]  # fmt: skip
    path = folder / f"{SOURCE}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_scores_of_all_epochs_and_seeds_are_added(tmp_path):
    assert evidence_in(_history(tmp_path), SOURCE) == {"thresholds": [0.0], "scores": {"a": [7], "b": [6]}}


def test_a_sequel_without_its_evidence_is_refused(tmp_path):
    with pytest.raises(ValueError, match=rf"`evidence` must have a history, found no .*{SOURCE}\.jsonl: run .* first"):
        evidence_in(tmp_path / f"{SOURCE}.jsonl", SOURCE)


def test_a_history_without_scores_is_no_evidence(tmp_path):
    path = _history(tmp_path)
    path.write_text(json.dumps(_line(0, None)) + "\n")
    with pytest.raises(
        ValueError, match=rf"{SOURCE}\.jsonl: `evidence` must be an experiment with `learner\.score_layers`"
    ):
        evidence_in(path, SOURCE)


@pytest.mark.parametrize(
    "layers", [{"scores": [[[1]]]}, {"thresholds": ["x"]}, {"names": None}, {"whole": []}, {"sizes": [1]}]
)
def test_scores_that_do_not_fit_their_layers_are_named(layers, tmp_path):
    path = _history(tmp_path, **layers)
    with pytest.raises(ValueError, match=rf"{SOURCE}\.jsonl:1: `layers"):
        evidence_in(path, SOURCE)


def test_seeds_that_diverged_are_no_evidence(tmp_path):
    path = _history(tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps(line | {"diverged": d}) + "\n" for line, d in zip(lines, (None, 1), strict=True))
    )
    assert evidence_in(path, SOURCE)["scores"] == {"a": [3], "b": [5]}
    path.write_text("".join(json.dumps(line | {"diverged": 1}) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"`evidence` must be .*, found seeds that diverged only"):
        evidence_in(path, SOURCE)
