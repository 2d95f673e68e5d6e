"""Options of `certify` that are wrong in themselves are said before anything is searched."""

import pytest

from gradsurgery.cli import main

pytest.importorskip("hypothesis", reason="the extra `certify` is not installed")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["pcgrad", "--set", "c"], "`--set` must be FIELD=VALUE, found 'c'."),
        (["pcgrad", "--claims", "non_conflict:wide"], "`--claims` must give non_conflict a tolerance, found 'wide'."),
        (["pcgrad", "--tasks", "0-3"], "`--tasks` must be a whole number from 1 on, found '0'."),
        (["pcgrad", "--examples", "none"], "`--examples` must be a whole number from 1 on, found 'none'."),
        ([], "`METHOD` must be given, found nothing; --properties lists what can be claimed."),
    ],
)
def test_a_wrong_option_is_one_sentence(capsys, options, said):
    assert main(["certify", *options]) == 2
    assert capsys.readouterr() == ("", f"error: {said}\n")
