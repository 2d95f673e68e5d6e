"""The list: the kinds that are asked for, in that order, each name once with its first sentence."""

import re

import pytest

from gradsurgery.cli import main
from gradsurgery.core import discovery


@pytest.fixture
def listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")

    def listed(*kinds):
        assert main(["list", *kinds]) == 0
        return capsys.readouterr().out

    return listed


def test_only_what_is_asked_for_is_listed_in_that_order(listed):
    out = listed("balancers", "transforms")
    assert re.findall(r"^(\w+): ", out, re.MULTILINE) == ["balancers", "transforms"]
    names = re.findall(r"^  (\w+) ", out, re.MULTILINE)
    assert sorted(names) == sorted(discovery.available("balancers") + discovery.available("transforms"))


def test_placebos_stand_behind_the_others(listed):
    out = listed("balancers")
    assert out.index("placebos among the balancers") < out.index("  placebo_permuted ")
    assert out.index("  uncertainty ") < out.index("placebos among")


def test_a_line_is_no_wider_than_the_terminal(listed):
    lines = [line for line in listed("rules").splitlines() if line.startswith("  ")]
    assert max(map(len, lines)) <= 100
    assert any(line.endswith("...") for line in lines)


def test_a_kind_that_is_none_is_refused(capsys):
    assert main(["list", "balancer"]) == 2
    assert "found 'balancer'; did you mean balancers" in capsys.readouterr().err
