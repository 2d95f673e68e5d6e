"""Options of `bench`: whole numbers, a device of this machine, and methods that are tried before they are timed."""

import argparse

import pytest

from gradsurgery.cli import bench, main


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "", "\N{SUPERSCRIPT TWO}", "1" * 11])
def test_what_is_no_number_from_one_on_is_refused(text):
    with pytest.raises(ValueError, match="`--tasks` must be a whole number from 1 on, found"):
        bench.whole("--tasks", text)
    assert bench.whole("--tasks", "12") == 12


def test_every_option_has_the_default_that_its_help_says():
    parser = argparse.ArgumentParser()
    bench.add(parser)
    for action in parser._actions:
        if action.default is not None and action.default != argparse.SUPPRESS:
            assert f"(default: {action.default})" in action.help
    assert parser.parse_args(["pcgrad"]).parameters == "1000000"


def test_a_method_that_is_none_is_found_before_anything_is_timed(capsys, tmp_path):
    (tmp_path / "bench_in_a_test.py").write_text("def odd(J):\n    return J\n", encoding="utf-8")
    assert main(["bench", "pcgrad", f"{tmp_path}/bench_in_a_test.py:odd", "--parameters", "9"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "must return a direction (64,) for J (2, 64), found (2, 64)" in err
