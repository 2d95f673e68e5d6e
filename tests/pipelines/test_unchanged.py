"""What counts as unchanged, which experiments stand for the others, and which locks may say so."""

import json
import math
from pathlib import Path

import pytest

from pipelines._params import load
from pipelines.unchanged import chosen, compare, sample

ROOT = Path(__file__).parents[2]
LINE = {"experiment": "a", "declaration": {"lr": 0.1}, "epochs": [{"epoch": 1, "val.a.loss": 0.1 + 0.2}]}
KEY = ("smoke", "a")


def test_the_last_bit_counts():
    off = {**LINE, "epochs": [{"epoch": 1, "val.a.loss": math.nextafter(0.1 + 0.2, 1.0)}]}
    assert compare({KEY: LINE}, {KEY: dict(LINE)}) == ({}, [])
    assert compare({KEY: LINE}, {KEY: off}) == ({KEY: "epochs"}, [])


def test_what_only_today_records_is_listed_and_what_is_gone_differs():
    more = {**LINE, "diverged": None}
    assert compare({KEY: LINE}, {KEY: more}) == ({}, ["diverged"])
    assert compare({KEY: more}, {KEY: LINE}) == ({KEY: "diverged"}, [])


def test_not_a_number_equals_itself_and_a_declaration_may_be_written_anew():
    nan = {**LINE, "trajectory": [math.nan]}
    assert compare({KEY: nan}, {KEY: {**nan, "declaration": {}}}) == ({}, [])


def test_a_failure_on_either_side_and_a_new_experiment_are_never_unchanged():
    failed = {"failed": "ValueError: no"}
    assert compare({KEY: failed}, {KEY: LINE})[0] == {KEY: "ValueError: no"}
    assert compare({KEY: LINE}, {KEY: failed})[0] == {KEY: "ValueError: no"}
    assert compare({KEY: failed}, {KEY: failed})[0] == {KEY: "ValueError: no"}
    assert "older code" in compare({}, {KEY: LINE})[0][KEY]


def test_every_problem_rule_and_transform_is_in_the_sample():
    params = load(ROOT / "params.yaml")
    found = [params.experiments[name] for name in sample(params, ROOT)]
    assert len(found) < len(params.experiments) * 2 / 3

    def parts(experiments):
        return {(e.problem, e.declaration["rule"]["name"], e.declaration["transform"]["name"]) for e in experiments}

    assert parts(found) == parts(params.experiments.values())


def test_every_line_is_trained_at_some_scale_and_smoke_is_enough_where_it_has_the_line():
    params, smoke = load(ROOT / "params.yaml"), load(ROOT / "params.yaml", "smoke")
    wanted = chosen(params, smoke, [])
    assert set(wanted["smoke"]).isdisjoint(wanted[params.scale])
    assert {*wanted["smoke"], *wanted[params.scale]} == set(params.experiments)
    assert set(wanted["smoke"]) <= set(smoke.experiments)
    name = wanted["smoke"][0]
    assert name in chosen(params, smoke, [name])[params.scale]


@pytest.mark.slow
def test_only_lines_whose_numbers_stayed_are_marked_up_to_date(checkout):
    checkout.run("dvc", "repro", "train@pcgrad", "train@baselines")
    for name, old, new in (("mean", "1.0 /", "2.0 /"), ("pcgrad", '"""', '"""A comment. ')):
        path = checkout.root / f"src/gradsurgery/aggregators/{name}.py"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    told = checkout.python("-m", "pipelines.train", "--dry").stdout
    assert "cagrad_toy-mean seed 0: source file src/gradsurgery/aggregators/mean.py changed" in told
    assert "multi_mnist-pcgrad seed 1: source file src/gradsurgery/aggregators/pcgrad.py changed" in told
    done = checkout.python("-m", "pipelines.unchanged", "HEAD", "--record", "--jobs", "2", check=False)
    assert done.returncode == 1, done.stderr
    assert "3 of 4 histories are equal" in done.stdout
    assert "differs: cagrad_toy-mean at smoke: " in done.stdout
    told = checkout.python("-m", "pipelines.train", "--dry").stdout
    assert told.splitlines()[:-1] == ["cagrad_toy-mean seed 0: source file src/gradsurgery/aggregators/mean.py changed"]
    stale = set(json.loads(checkout.run("dvc", "status", "--json").stdout))
    assert "train@pcgrad" not in stale
    assert "train@baselines" in stale
    refused = checkout.python("-m", "pipelines.unchanged", "no-such-commit", check=False)
    assert refused.returncode == 2
    assert "`revision` must be a commit, found 'no-such-commit'" in refused.stderr
