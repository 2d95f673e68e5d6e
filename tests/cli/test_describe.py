"""A description says what there is, and what there is not."""

import pytest

from gradsurgery.cli import main


@pytest.fixture
def described(capsys):
    def described(name):
        assert main(["describe", name]) == 0
        return capsys.readouterr().out

    return described


def test_a_field_without_a_default_must_be_given_and_is_explained(described):
    out = described("single_task")
    assert "  task (must be given): non-negative\n      index of the task that is trained, from 0.\n" in out
    assert "  weights" in described("static")


def test_what_has_no_fields_says_so(described):
    assert "\nfields: none\n" in described("sum")


def test_departures_are_told_where_there_are_any(described):
    assert "departures from paper and code\n    1. Tasks whose gradients are alike" in described("placebo_positive")


def test_only_a_method_says_how_to_run_it(described):
    assert "gradsurgery run mgda --problem" in described("mgda")
    assert "gradsurgery run" not in described("dwa")


def test_an_unknown_name_is_refused_with_the_nearest(capsys):
    assert main(["describe", "mgd"]) == 2
    assert "did you mean mgda" in capsys.readouterr().err


def test_the_commands_at_the_end_give_what_must_be_given(described):
    out = described("torchjd")
    assert "build('torchjd', method=...)" in out
    assert out.endswith("--scale smoke --set aggregator.method=...\n")
    assert "build('pcgrad'):" in described("pcgrad")
