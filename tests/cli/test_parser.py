"""Wrong arguments are one sentence that names what there is; nothing is guessed."""

import pytest

from gradsurgery.cli._parser import Parser


@pytest.fixture
def parser():
    made = Parser(prog="gradsurgery bench")
    made.add_argument("name")
    made.add_argument("--tasks", default="2")
    return made


def test_right_arguments_are_taken(parser):
    found = parser.parse_args(["pcgrad", "--tasks", "3"])
    assert (found.name, found.tasks) == ("pcgrad", "3")


def test_an_abbreviation_is_no_option_and_the_nearest_one_is_named(parser):
    with pytest.raises(ValueError, match=r"`--task` is no option of `gradsurgery bench`; .* did you mean --tasks"):
        parser.parse_args(["pcgrad", "--task=3"])


def test_one_name_too_many_is_an_argument(parser):
    with pytest.raises(ValueError, match="`mgda` is no argument of `gradsurgery bench`; its options are: --help, --t"):
        parser.parse_args(["pcgrad", "mgda"])


def test_what_is_missing_is_said_and_where_to_read_more(parser):
    with pytest.raises(ValueError, match=r"`gradsurgery bench`: .*required: name; see --help"):
        parser.parse_args([])
