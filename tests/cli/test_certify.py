"""Options of `certify` that are wrong in themselves are said before anything is searched."""

import pytest

from gradsurgery.cli import main

pytest.importorskip("hypothesis", reason="the extra `certify` is not installed")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["pcgrad", "--set", "c"], "`--set` must be FIELD=VALUE, found 'c'."),
        *(
            (
                ["pcgrad", "--claims", f"non_conflict:{own}"],
                f"`--claims` must give non_conflict a tolerance of zero or more, found '{own}'.",
            )
            for own in ("wide", "nan", "inf", "-1")
        ),
        (["pcgrad", "--tasks", "0-3"], "`--tasks` must be a whole number from 1 on, found '0'."),
        (["pcgrad", "--examples", "none"], "`--examples` must be a whole number from 1 on, found 'none'."),
        ([], "`METHOD` must be given, found nothing; --properties lists what can be claimed."),
    ],
)
def test_a_wrong_option_is_one_sentence(capsys, options, said):
    assert main(["certify", *options]) == 2
    assert capsys.readouterr() == ("", f"error: {said}\n")
