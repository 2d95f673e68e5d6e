"""Time to target on the page of costs: the sentence and the table say what was counted."""

from gradsurgery.evidence.evaluation import Measured
from gradsurgery.evidence.targets import TAUS, Profile, Reach
from gradsurgery.report import time_to_target
from gradsurgery.report.output import Output
from gradsurgery.report.sources import Sources


def _profile(at_one, at_two, problems=4):
    return Profile(problems, [at_one if tau < 2.0 else at_two for tau in TAUS])


PROFILES = {
    "epochs": {"pcgrad": _profile(0.75, 1.0), "sum": _profile(0.25, 0.5)},
    "seconds": {"sum": _profile(1.0, 1.0)},
}
REACHES = {
    "multi_mnist": {
        "sum": Reach(3, 3, {"epochs": 4.0, "backward passes": 1200.0, "seconds": 9.5}),
        "sam_gs": Reach(1, 3, {"epochs": None, "seconds": None}),
    },
    "census": {"sum": Reach(3, 3, {"epochs": 2.0})},
}


def _part(**measured):
    out = Output()
    return time_to_target.part(Sources({}, {}, {}, [], {}, {}, measured=Measured(**measured)), out), out


def test_the_sentence_has_the_sum_and_the_method_that_is_cheapest_most_often():
    assert time_to_target.sentence(PROFILES, {"pcgrad", "sum"}) == (
        "In epochs, sum is the cheapest on 25 % of its 4 problems and within twice the cheapest on 50 %; PCGrad is the "
        "cheapest on 75 % of its 4 problems and within twice the cheapest on 100 %. In seconds, sum is the cheapest on "
        "100 % of its 4 problems and within twice the cheapest on 100 %."
    )


def test_the_table_has_every_method_beside_its_sum():
    found, out = _part(reaches=REACHES, profiles=PROFILES)
    rows = [[str(cell) for cell in row] for row in found["table"].to_numpy()]
    assert rows == [
        ["MultiMNIST", "sum", "3 of 3", "4", "1,200", "9.5"],
        ["MultiMNIST", "SAM-GS", "1 of 3", "never", "-", "never"],
    ]
    assert {"tables/time-to-target.csv", "figures/time-to-target.svg"} <= set(out.finish())
    assert out.finish() == _part(reaches=REACHES, profiles=PROFILES)[1].finish()


def test_without_profiles_there_is_no_figure_and_without_a_second_method_nothing():
    found, _ = _part(reaches=REACHES)
    assert (found["figure"], found["sentence"]) == (None, "Too few problems for a profile.")
    assert _part(reaches={"census": REACHES["census"]})[0] is None
