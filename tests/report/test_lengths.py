"""Effect against training length: which claims are drawn, and what of them."""

import dataclasses

from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.findings import Length
from gradsurgery.report.lengths import drawing
from tests.report.test_numbers import contrast, finding

LENGTHS = (
    Length("laptop", 560, Summary(3, 0.003, 0.004, -0.004, 0.01)),
    Length("overnight", 2526, Summary(10, 0.001, 0.002, 0.0, 0.002)),
)


def test_every_claim_of_several_lengths_has_a_panel_in_the_unit_of_its_paper():
    told = dataclasses.replace(finding("", "inconclusive"), contrast=contrast(), effect=0.01, lengths=LENGTHS)
    made = drawing("p", [told, finding("", "inconclusive")])
    (axes,) = [axes for axes in made.figure.axes if axes.get_visible()]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["560\nlaptop", "2,526\novernight"]
    points = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert points == [0.3, 0.1]
    assert [text.get_text() for text in axes.texts] == ["n = 3", "n = 10"]
    assert axes.get_ylabel() == "accuracy (points)"
    assert 1.0 in [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"], "what is published"


def test_a_number_of_no_task_is_drawn_too():
    answer = dataclasses.replace(finding("", "").record.answered_by, metric="final_train_loss")
    told = finding("", "inconclusive", answered_by=answer, metric="training loss at the end, A minus B")
    (axes,) = drawing("p", [dataclasses.replace(told, contrast=contrast(), lengths=LENGTHS)]).figure.axes
    assert axes.get_ylabel() == "training loss at the end"


def test_nothing_is_drawn_where_nothing_has_a_course():
    assert drawing("p", [finding("", "inconclusive")]) is None
