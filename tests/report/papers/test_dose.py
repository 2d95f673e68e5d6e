"""The section on dialled conflict: its sentence, table and figure say what the numbers say."""

import dataclasses

import pytest

from gradsurgery.report.papers import dose
from gradsurgery.report.style import svg
from tests.histories import dialled, evidence_of


@pytest.fixture(scope="module")
def made():
    return dose.section(evidence_of(dialled()))


def test_nothing_is_said_where_nothing_was_dialled():
    assert dose.section(evidence_of({})) is None


def test_the_longest_scale_that_has_every_run_of_the_report_s_is_the_one_that_is_told():
    own = evidence_of(dialled())
    told = dose.section(dataclasses.replace(own, others={"overnight": evidence_of(dialled())}))
    assert {cell.target.split("/")[1] for cell in told.sheets[0].frame["method"]} == {"overnight"}
    whole = dialled()
    line = next(name for name in whole if name.startswith("dial_r4") and not name.endswith("-sum"))
    for partly in (
        {name: group for name, group in whole.items() if not name.startswith("dial_r4")},  # a dose less
        {name: group for name, group in whole.items() if name != line},  # a line less
        {**whole, line: whole[line][1:]},  # a seed less
    ):
        told = dose.section(dataclasses.replace(own, others={"overnight": evidence_of(partly)}))
        assert {cell.target.count("/") for cell in told.sheets[0].frame["method"]} == {1}, "the scale of the report"


def test_the_sentence_counts_gains_at_equal_and_at_unequal_weights(made):
    for said in (
        "At equal weights 0 of 1 comparisons of a method with the sum are a gain; the largest is PCGrad",
        "At unequal weights 1 of 1 comparisons of a method with the sum are a gain; the largest is PCGrad",
        "+4.00 [+3.75, +4.25] points. Of the 1, 0 end above the sum at equal weights",
        "which at cosine -0.5, ratio 4 has +10.00 [+10.00, +10.00] over the sum",
        "Placebos gain in 0 of 1 comparisons",
        "A task alone reaches, in %, 85.00 [85.00, 85.00] at cosine -0.5, ratio 1.",
    ):
        assert said in made.found


def test_the_sentence_follows_the_numbers():
    groups = dialled()
    groups["dial_r4-pcgrad"], groups["dial_r4-placebo_random"] = (
        [_with(run, other) for run in groups[name]]
        for name, other in (("dial_r4-pcgrad", -0.06), ("dial_r4-placebo_random", +0.06))
    )
    found = dose.section(evidence_of(groups)).found
    assert "At unequal weights 0 of 1 comparisons of a method with the sum are a gain" in found
    assert "Placebos gain in 1 of 1 comparisons" in found


def _with(run, more):
    rows = [{k: v + more if k.endswith(".accuracy") else v for k, v in row.items()} for row in run.epochs]
    return dataclasses.replace(run, epochs=rows)


def test_the_table_has_every_line_of_every_dose(made):
    frame = made.sheets[0].frame
    rows = {(row["ratio"], str(row["method"])): row for _, row in frame.iterrows()}
    assert set(rows) == {
        ("1", "sum"), ("1", "PCGrad"), ("4", "sum"), ("4", "PCGrad"), ("4", "placebo: random vector"),
        ("4", "static, 80 %"),
    }  # fmt: skip
    assert rows["4", "PCGrad"]["minus the sum (points)"] == "+4.00 [+3.75, +4.25]"
    assert rows["4", "PCGrad"]["minus the sum at equal weights (points)"] == "-6.00 [-6.25, -5.75]"
    assert rows["4", "sum"]["minus the sum at equal weights (points)"].startswith("-10.00")
    assert rows["1", "sum"]["minus the sum at equal weights (points)"] == "-"
    assert set(frame["median cosine of the gradients"]) == {"-0.30"}


def test_the_figure_is_the_same_to_the_byte_and_names_its_marks(made):
    again = dose.section(evidence_of(dialled()))
    text = svg(made.drawings[0].figure)
    assert text == svg(again.drawings[0].figure)
    for name in (
        "sum, equal weights",
        "static weights, tuned",
        "PCGrad",
        "2 tasks, last loss weighs 4",
        "cosine of the heads",
    ):
        assert name in text.decode()
    assert "intervals over 3 seeds" in made.drawings[0].caption
