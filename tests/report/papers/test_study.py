"""Studies: what they may claim, the numbers they give, and what is refused. Every study here is made up."""

import json
from typing import Any

from gradsurgery.evidence import searches
from gradsurgery.evidence.history import parse as parse_runs
from gradsurgery.evidence.study import Trial, check
from gradsurgery.report.papers.study import how, order_sentence, section, sentence
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import svg
from tests.histories import evidence_of
from tests.studies import METHODS, read, record, study


def sheet(trials: list[Trial], kind: str) -> Any:
    """One table of the section on a study."""
    made = section(evidence_of({}, {}, {}, {"multi_fashion_mnist": trials}))
    assert made is not None
    return next(s.frame for s in made.sheets if s.name.endswith(kind))


def told_of(trials: list[Trial]) -> str:
    evidence = evidence_of({}, {}, {}, {"multi_fashion_mnist": trials})
    return sentence("multi_fashion_mnist", evidence, how(trials))


def test_a_winner_that_failed_on_a_fresh_seed_is_not_compared() -> None:
    failed = [
        record("winner", "pcgrad", 2, 3, 0.7, failed=True)
        if (r["kind"], r["method"], r["seed"]) == ("winner", "pcgrad", 3) else r for r in study()
    ]  # fmt: skip
    trials = read(failed)
    check(trials, "best-val")
    assert "pcgrad" not in {c.method for c in searches.contrasts(trials, "best-val")}
    table = sheet(trials, "search").set_index("method")
    assert table.loc["PCGrad", "n"] == "2, failed on 1"
    assert table.loc["PCGrad", "minus tuned static (points)"] == "-"


def test_the_order_changes_where_the_curves_cross() -> None:
    # always 0.6 against 0.5, 0.5, 0.5 and 0.9: 0.60 and 0.60 at n = 1 but for noise, and the second leads from then on
    steady = [record("search", "sum", n, 0, 0.62) for n in range(4)]
    lucky = [record("search", "static", n, 0, 0.9 if n == 3 else 0.5) for n in range(4)]
    text = order_sentence(searches.search(read([*steady, *lucky]), "best-val"))
    assert text.startswith("Expected best validation of n trials: first is sum for n = 1; static for n = 2 to 4;")
    assert text.endswith("the order of the methods changes at n = 2.")


def test_the_sentence_says_who_beats_tuned_static_weights() -> None:
    trials = read(study())
    told = told_of(trials)
    assert told.startswith("Against tuned static weights: better: CAGrad, c = 0.5 (+")
    assert "; inconclusive: " in told
    assert "4 trials each, n = 3 fresh seeds, exploratory" in told
    none = told_of(read(study(levels=dict.fromkeys(METHODS, 0.0))))
    assert none.startswith("Against tuned static weights: inconclusive: ")


def test_the_table_names_what_was_chosen() -> None:
    table = sheet(read(study()), "search").set_index("method")
    assert list(table["trials"]) == [4] * 4
    assert table.loc["sum", "chosen"] == "lr 0.003, weight decay 0.0002"
    assert table.loc["static", "minus tuned static (points)"] == "-"
    assert table.loc["CAGrad, c = 0.5", "minus tuned static (points)"].startswith("+4.")
    curve = sheet(read(study()), "best-of-n")
    assert [c for c in curve.columns if c.startswith("expected")] == [
        "expected best of 1 (%)", "expected best of 4 (%)"
    ]  # fmt: skip


def everything() -> tuple[Sources, dict[str, list[Trial]]]:
    """Two problems with a search, of two and of three tasks, and the table's lines beside them."""
    studies, groups = {}, {}
    for problem, tasks in (("census", 2), ("cifar100_exits", 3)):
        records = study(tasks, problem=problem)
        studies[problem] = read(records)
        for method in ("sum", "pcgrad"):
            lines = [json.dumps(record("winner", method, 0, s, 0.7, tasks, problem)) for s in range(3)]
            groups[f"{problem}-{method}"] = parse_runs(lines, method)
    return evidence_of(groups, {}, {}, studies), studies


def test_the_section_holds_searches_and_repeats_to_the_byte() -> None:
    made, again = section(everything()[0]), section(everything()[0])
    assert made is not None
    assert again is not None
    names = {f"study-{p}-search" for p in ("census", "cifar100_exits")}
    assert {d.name for d in made.drawings} == names
    assert [svg(d.figure) for d in made.drawings] == [svg(d.figure) for d in again.drawings]
    assert {s.name for s in made.sheets} == names | {f"study-{p}-best-of-n" for p in ("census", "cifar100_exits")}
    assert all(len(sheet.frame) for sheet in made.sheets)
    assert made.found == again.found
    assert "Against tuned static weights: better: " in made.found
    assert "4 methods with 4 trials each on seed 0, winners on seeds 1, 2, 3" in made.ran


def test_without_a_study_there_is_no_section() -> None:
    assert section(Sources({}, {}, {}, [], {}, {})) is None
