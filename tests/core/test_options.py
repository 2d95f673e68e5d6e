"""Settings of a learner: one sentence for each wrong one."""

import pytest

from gradsurgery.core.options import check_options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float8"}, "`precision` must be one of float32, bfloat16, float16, found 'float8'"),
        ({"precision": ["float32"]}, r"`precision` must be one of float32, bfloat16, float16, found \['float32'\]"),
        ({"diagnose_every": 0}, "`diagnose_every` must be a whole number from 1, found 0"),
        ({"diagnose_every": True}, "`diagnose_every` must be a whole number from 1, found True"),
        ({"observe_layers": 1}, r"`observe_layers` must be true or false, found 1\."),
        ({"half_batches": "yes"}, r"`half_batches` must be true or false, found 'yes'\."),
        (
            {"gradients": "both"},
            r"`gradients` must be one of stored, two_pass, representation, sub_batch, found 'both'\.",
        ),
        ({"keep_weights": 0}, r"`keep_weights` must be a whole number from 1, found 0\."),
        (
            {"score_layers": [0.0], "gradients": "two_pass"},
            "`score_layers` must be left out with gradients = 'two_pass'",
        ),
        (
            {"observe_layers": True, "gradients": "two_pass"},
            "`observe_layers` must be left out with gradients = 'two_p",
        ),
        ({"score_layers": [0.5]}, r"`score_layers` must lie above -1 and not above 0, found 0\.5"),
    ],
)
def test_wrong_options_are_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        check_options(**options)
    with pytest.raises(ValueError, match=rf"`(learner\.)?{next(iter(options))}` must"):
        make(**options)


def test_the_defaults_are_right():
    check_options()
    check_options("float16", 1, [-0.5, 0.0], True)
