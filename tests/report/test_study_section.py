"""Studies: what they may claim, the numbers they give, and what is refused. Every study here is made up."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradsurgery.evidence import searches
from gradsurgery.evidence.history import parse as parse_runs
from gradsurgery.evidence.study import Trial, best, check, level, parse, searched
from gradsurgery.report.papers.study import how, order_sentence, section, sentence
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import svg
from pipelines._evidence import read_studies, sha256_of, study_costs
from tests.histories import evidence_of, with_examples

Record = dict[str, Any]
METHODS = {"sum": 0.0, "static": 0.01, "pcgrad": 0.01, "cagrad-c0_5": 0.05}
FRESH = (1, 2, 3)


def record(
    kind: str, method: str, trial: int, seed: int, level: float, tasks: int = 2, problem: str = "multi_fashion_mnist",
    failed: bool = False, test: float | None = None, weights: list[float] | None = None,
) -> Record:  # fmt: skip
    """A trial whose tasks all end at `level`, or trade it by their weights."""
    names = [f"task{k}" for k in range(tasks)]
    shares = weights or [1.0 / tasks] * tasks
    noise = 0.002 * np.random.default_rng([trial, seed, len(method)]).standard_normal(tasks)
    row: Record = {"epoch": 1}
    for name, share, wobble in zip(names, shares, noise, strict=True):
        gain = 0.2 * (1.0 - tasks * (1.0 / tasks - share) ** 2) * (share * tasks) ** 0.5 - 0.2
        row |= {f"val.{name}.accuracy": level + gain + wobble, f"train.{name}.loss": 1.0}
        row |= {f"test.{name}.accuracy": (level if test is None else test) + gain + wobble}
    own = {"name": "static", "weights": shares} if method.startswith("static") else {"name": "equal"}
    settings = {"lr": 0.001 * (1 + trial), "weight_decay": 1e-4 * trial, "epochs": 1, "network": {"name": "lenet"}}
    return {
        "experiment": f"{problem}-{method}", "problem": problem, "seed": seed, "scale": "smoke", "track": "controlled",
        "family": "baselines", "role": {"kind": "baseline"},
        "declaration": {"balancer": own, "aggregator": {"name": method.split("-")[0]}, "settings": settings},
        "tasks": names, "metrics": {f"{name}.accuracy": True for name in names}, "data_sha256": "0" * 64,
        "epochs": [] if failed else [row], "diagnostics": [], "skipped_steps": 0, "trajectory": None, "layers": None,
        "test_rows": 4000, "kind": kind, "method": method, "trial": trial, "fingerprint": "f", "failed": failed,
    }  # fmt: skip


def study(tasks: int = 2, trials: int = 4, levels: dict[str, float] = METHODS, **more: Any) -> list[Record]:
    """Trial 2 of every method is its best."""
    made = [
        record("search", m, n, 0, 0.7 + shift + 0.01 * (n == 2) - 0.01 * (n == 3), tasks, **more)
        for m, shift in levels.items() for n in range(trials)
    ]  # fmt: skip
    return made + [record("winner", m, 2, s, 0.71 + v, tasks, **more) for m, v in levels.items() for s in FRESH]


def read(records: list[Record]) -> list[Trial]:
    trials = parse([json.dumps(r, sort_keys=True) for r in records], "made up")
    return [replace(t, run=with_examples(t.run, 4000) if t.run and t.kind != "search" else t.run) for t in trials]


def sheet(trials: list[Trial], kind: str) -> Any:
    """One table of the section on a study."""
    made = section(evidence_of({}, {}, {}, {"multi_fashion_mnist": trials}))
    assert made is not None
    return next(s.frame for s in made.sheets if s.name.endswith(kind))


def told_of(trials: list[Trial]) -> str:
    evidence = evidence_of({}, {}, {}, {"multi_fashion_mnist": trials})
    return sentence("multi_fashion_mnist", evidence, how(trials))


def changed(records: list[Record], kind: str, method: str, number: int, **fields: Any) -> list[Record]:
    return [r | fields if (r["kind"], r["method"], r["trial"]) == (kind, method, number) else r for r in records]


def test_a_fair_study_passes_and_its_winner_is_the_best_on_validation() -> None:
    trials = read(study())
    check(trials, "best-val")
    assert {m: best(own, "best-val").number for m, own in searched(trials).items()} == dict.fromkeys(METHODS, 2)


def test_unequal_trials_are_refused() -> None:
    fewer = [r for r in study() if (r["kind"], r["method"], r["trial"]) != ("search", "sum", 3)]
    with pytest.raises(ValueError, match="`trials` must be as many for every method, found 3 of sum and 4 of static"):
        check(read(fewer), "best-val")


def test_a_gap_in_the_trials_is_refused() -> None:
    moved = [r | {"trial": 7} if (r["kind"], r["method"], r["trial"]) == ("search", "sum", 3) else r for r in study()]
    with pytest.raises(ValueError, match="must count from 0 without gaps"):
        check(read(moved), "best-val")


def test_a_winner_picked_on_test_is_refused() -> None:
    flattered = [r for r in study() if not (r["kind"] == "winner" and r["method"] == "pcgrad")]
    lucky = record("search", "pcgrad", 1, 0, 0.7, test=0.9)
    flattered = changed(flattered, "search", "pcgrad", 1, epochs=lucky["epochs"])
    picked = [record("winner", "pcgrad", 1, seed, 0.7, test=0.9) for seed in FRESH]
    with pytest.raises(ValueError, match=r"must be the trial that is best on validation \(2\), found 1"):
        check(read([*flattered, *picked]), "best-val")


@pytest.mark.parametrize("rule", ["best-test", "last10"])
def test_a_rule_that_looks_at_the_test_set_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=f"must be one of best-val, last, found '{rule}'"):
        check(read(study()), rule)


def test_a_dropped_seed_is_refused() -> None:
    dropped = [r for r in study() if (r["kind"], r["method"], r["seed"]) != ("winner", "sum", 3)]
    with pytest.raises(ValueError, match=r"`winner` of sum must be judged on seeds \[1, 2, 3\], found \[1, 2\]"):
        check(read(dropped), "best-val")


def test_the_seed_of_the_search_is_not_fresh() -> None:
    stale = [*study(), record("winner", "sum", 2, 0, 0.7)]
    with pytest.raises(ValueError, match="must be judged on fresh seeds, found the search's seed 0"):
        check(read(stale), "best-val")


def test_other_terms_for_one_method_are_refused() -> None:
    longer = study()
    for r in longer:
        if r["method"] == "pcgrad":
            r["declaration"]["settings"]["epochs"] = 2
    with pytest.raises(ValueError, match="`epochs` of trial 0 must be the same for pcgrad and sum, found 2 and 1"):
        check(read(longer), "best-val")
    with pytest.raises(ValueError, match="`data_sha256` must be the same for static and sum"):
        check(read(changed(study(), "search", "sum", 1, data_sha256="1" * 64)), "best-val")


def test_a_failed_trial_counts_and_cannot_win() -> None:
    trials = read([
        *(record("search", "sum", n, 0, 0.9 if n == 0 else 0.5, failed=n == 0) for n in range(3)),
        *(record("search", "static", n, 0, 0.6 - 0.1 * n) for n in range(3)),
        *(record("winner", m, n, s, 0.5) for m, n in (("static", 0),) for s in FRESH),
    ])  # fmt: skip
    assert best(searched(trials)["sum"], "best-val").number in (1, 2)
    found = searches.search(trials, "best-val")
    assert found["sum"].failed == 1
    assert found["sum"].default is None
    reached = [level(t.run, "best-val", "val") for t in trials if t.run is not None and t.kind == "search"]
    own = [level(t.run, "best-val", "val") for t in searched(trials)["sum"] if t.run is not None]
    assert found["sum"].curve[0] == pytest.approx(np.mean([min(reached), *own]))
    nothing = read([record("search", "sum", n, 0, 0.5, failed=True) for n in range(2)])
    assert best(nothing, "best-val") is None


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


def test_the_expected_best_is_that_of_draws_with_replacement() -> None:
    values = [0.1, 0.5, 0.3, 0.5]
    draws = np.random.default_rng(0).choice(values, (200_000, 3)).max(axis=1)
    assert searches.expected_best(values, 3) == pytest.approx(draws.mean(), abs=1e-3)
    assert searches.expected_best(values, 1) == pytest.approx(np.mean(values))
    assert searches.expected_best(values, 500) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="found n = 0"):
        searches.expected_best(values, 0)


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


def _publish(path: Path, records: list[Record]) -> None:
    text = "".join(json.dumps(r) + "\n" for r in records)
    path.write_text(text)
    study_costs(path).parent.mkdir(exist_ok=True)
    study_costs(path).write_text(json.dumps({"seconds": {}, "sha256": sha256_of(text)}))


def test_an_unfair_study_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "census.jsonl"
    _publish(path, study())
    assert len(read_studies(tmp_path, {})["census"]) == len(study())
    _publish(path, [r for r in study() if (r["kind"], r["method"], r["trial"]) != ("search", "sum", 2)])
    with pytest.raises(ValueError, match=r"census\.jsonl: `trials` must be as many.*: restore it"):
        read_studies(tmp_path, {"census": "best-val"})


def test_a_study_that_is_not_as_it_was_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "census.jsonl"
    _publish(path, study())
    path.write_text(path.read_text().replace('"test_rows": 4000', '"test_rows": 4001', 1))
    with pytest.raises(ValueError, match=r"census\.jsonl: a study must be as it was written, .*: restore"):
        read_studies(tmp_path, {})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "made up:1: a line must be one JSON object"),
        ("{}", "made up:1: a trial must be of a `kind` of search, winner, found '{}'"),
        (json.dumps(study()[0] | {"trial": "0"}), "made up:1: `trial` must be a whole number, found '0'"),
        (json.dumps(study()[0] | {"failed": None}), "made up:1: `failed` must be true or false, found None"),
    ],
)
def test_a_malformed_line_is_named(line: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse([line], "made up")
