"""A sequel and the history it starts from."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines._plan import Plan

SOURCE = SimpleNamespace(name="multi_mnist-sum-search", declaration={})
SEQUEL = SimpleNamespace(name="multi_mnist-recon", declaration={"evidence": SOURCE.name})
SCORES = ([[[1], [0]], [[2], [5]]], [[[4], [1]]])  # of two seeds, by epoch, layer and threshold


def _plan(layers=({"scores": SCORES[0]}, {"scores": SCORES[1]}), diverged=(None, None)):
    """A plan of which the source's records hold these layer counts, by seed."""
    common = {"names": ["a", "b"], "thresholds": [0.0]}
    found = {
        seed: SimpleNamespace(line={"layers": own and common | own, "diverged": end})
        for seed, (own, end) in enumerate(zip(layers, diverged, strict=True))
    }
    records = SimpleNamespace(history=lambda line: Path(f"{line.name}.jsonl"), read=lambda line: found)
    return Plan(SimpleNamespace(experiment=lambda name: SOURCE), records, "cpu")


def test_scores_of_all_epochs_and_seeds_are_added():
    assert _plan().evidence(SEQUEL) == {"thresholds": [0.0], "scores": {"a": [7], "b": [6]}}
    assert _plan().evidence(SOURCE) is None


def test_a_sequel_without_its_evidence_is_refused():
    with pytest.raises(
        ValueError, match=rf"`evidence` must have a history, found no {SOURCE.name}\.jsonl: run .* first"
    ):
        _plan((), ()).evidence(SEQUEL)


def test_a_history_without_scores_is_no_evidence():
    said = rf"{SOURCE.name}\.jsonl: `evidence` must be an experiment with `learner\.score_layers`"
    with pytest.raises(ValueError, match=said):
        _plan((None,), (None,)).evidence(SEQUEL)


def test_seeds_that_diverged_are_no_evidence():
    assert _plan(diverged=(None, 1)).evidence(SEQUEL)["scores"] == {"a": [3], "b": [5]}
    with pytest.raises(ValueError, match=r"`evidence` must be .*, found seeds that diverged only"):
        _plan(diverged=(1, 1)).evidence(SEQUEL)
