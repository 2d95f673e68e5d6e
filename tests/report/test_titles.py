"""Problems in words: names, and the settings behind the numbers of one in a line."""

import dataclasses

from gradsurgery.report.titles import setting, title
from tests.histories import as_run, image_run, landscape_run


def runs(seeds: int, **fields: object) -> list:
    return [dataclasses.replace(as_run(image_run("p", "sum", seed, 0.0)), **fields) for seed in range(seeds)]


def test_a_known_problem_has_its_name_and_another_is_spelt_out() -> None:
    assert title("census") == "Census-Income"
    assert title("my_own_set") == "my own set"


def test_the_settings_of_a_problem_stand_in_one_line() -> None:
    assert setting({"sum": runs(2)}) == (
        "Scale smoke, track controlled, 4 epochs, 2 seeds, network lenet: batch size 8, train size 1000."
    )


def test_lines_that_differ_in_seeds_track_or_network_are_all_named() -> None:
    other = {"settings": {"network": {"name": "cnn"}}}
    made = {"sum": runs(1), "pcgrad": runs(3, track="reference", declaration=other)}
    said = setting(made)
    assert "track controlled, reference, 4 epochs, 1 to 3 seeds, network cnn, lenet: " in said
    assert "1 seed," in setting({"sum": runs(1)})
    assert "3 to 21 seeds," in setting({"sum": runs(3), "pcgrad": runs(21)})


def test_a_landscape_has_no_epochs_and_no_settings() -> None:
    run = as_run(landscape_run("cagrad_toy", "mean", [True]))
    assert setting({"mean": [run]}) == "Scale smoke, track as-published, 1 seed."
