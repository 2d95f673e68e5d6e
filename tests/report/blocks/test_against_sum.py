"""One method against the sum on every problem with data: which lines are meant, and what is said of them."""

import dataclasses

import pytest

from gradsurgery.evidence.dose import Dose
from gradsurgery.evidence.groups import problems
from gradsurgery.report.blocks.against_sum import contrasts, forest, part, sentence
from gradsurgery.report.sources import Sources
from tests.histories import as_run, difference, image_run, landscape_run, sources_of


def source(shifts: dict[str, float], problems: tuple[str, ...] = ("q", "p"), **declared: object) -> Sources:
    groups = {}
    for problem in problems:
        for method, shift in shifts.items():
            records = [image_run(problem, method, seed, shift) for seed in range(3)]
            for record in records if method != "sum" else ():
                record["declaration"] |= declared
            groups[f"{problem}-{method}"] = [as_run(record) for record in records]
    groups["toy-pcgrad"] = [as_run(landscape_run("toy", "pcgrad", [True]))]
    return sources_of(groups)


def methods(sources: Sources, aggregator: str = "pcgrad", family: str = "") -> list[tuple[str, str]]:
    return [(c.problem, c.method) for c in contrasts(sources, aggregator, family, set(problems(sources.groups)))]


SHIFTS = {"sum": 0.0, "pcgrad": 0.1, "cagrad-c0_5": -0.1}


def test_lines_are_meant_by_their_aggregator_in_a_network_as_it_was() -> None:
    assert methods(source(SHIFTS)) == [("p", "pcgrad"), ("q", "pcgrad")], "without landscapes, and no other method"
    assert methods(source(SHIFTS, transform={"name": "recon"})) == []
    assert methods(source(SHIFTS), family="cagrad") == [("p", "cagrad-c0_5"), ("q", "cagrad-c0_5")]
    assert methods(source({"pcgrad": 0.1})) == [], "without the sum"


def test_dialled_problems_are_counted_apart_from_the_others() -> None:
    found = source(SHIFTS)
    dose = Dose(2, 1.0, "cosine", -0.5, None, None, None, None, {}, [])
    dialled = dataclasses.replace(found, measured=dataclasses.replace(found.measured, doses={"p": dose}))
    made = part("pcgrad", dialled, "pcgrad")
    assert made is not None
    assert list(made.sheets[0].frame["problem"]) == ["q"]
    assert "on 1 problem with data, one by one" in made.found
    [gain] = [c.gain.mean for c in contrasts(found, "pcgrad", "", {"p"})]
    assert (
        "On 1 of dialled conflict, which Controls draws beside static weights and the sum at equal weights: better 1;"
        in made.found
    )
    assert f"the largest gain is +{100 * gain:.2f} [" in made.found
    undialled = part("pcgrad", found, "pcgrad")
    assert undialled is not None
    assert "dialled conflict" not in undialled.found


def test_the_sentence_names_problems_and_methods_only_where_they_differ() -> None:
    found = [difference("pcgrad", 0.01, 0.03, problem="census"), difference("pcgrad", -0.03, 0.01, problem="yeast")]
    assert sentence(found) == (
        "Against the sum on 2 problems with data, one by one, exploratory: better: Census-Income "
        "(+2.00 [+1.00, +3.00]); inconclusive: Yeast, 14 classes of genes."
    )
    assert sentence(found[:1]).startswith("Against the sum on 1 problem with data, one by one")
    two = [*found, difference("cagrad-c0_5", -0.03, -0.01, problem="census")]
    assert "worse: Census-Income (CAGrad, c = 0.5) (-2.00" in sentence(two)
    assert sentence([]) == "No problem with data was run beside the sum."


def test_a_row_has_both_levels_and_their_difference() -> None:
    made = part("pcgrad", source(SHIFTS), "pcgrad")
    assert made is not None
    assert made.ran == "PCGrad and the sum under one protocol on 2 problems with data."
    row = made.sheets[0].frame.iloc[0]
    ours, base, gap = (float(row[name].split(" ")[0]) for name in ("ours", "sum", "minus sum, paired"))
    assert gap == pytest.approx(ours - base, abs=0.011)
    assert (row["n"], row["scale, track"], row["verdict"]) == (3, "smoke, controlled", "better")
    assert part("pcgrad", source({"sum": 0.0}), "pcgrad") is None


def test_what_a_method_was_set_to_is_said_once_with_its_problems() -> None:
    found = source(SHIFTS)
    for name in ("p-pcgrad", "q-pcgrad"):
        for run in found.groups[name]:
            run.declaration["aggregator"] |= {"clip": 1.0}
    made = part("pcgrad", found, "pcgrad")
    assert made is not None
    assert made.ran.endswith("with data. clip = 1.0 on p, q.")


def test_a_better_method_is_drawn_left_of_zero() -> None:
    found = source(SHIFTS)
    own = [c for name in ("pcgrad", "cagrad") for c in contrasts(found, name, "", {"p", "q"})]
    axes = forest(own, found.metrics).axes[0]
    marks = {line.get_label(): line.get_xdata()[0] for line in axes.lines if line.get_label()[0] != "_"}
    assert marks["PCGrad"] < 0.0 < marks["CAGrad, c = 0.5"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["p", "q"]
