"""What an equal-budget search found: tables and sentences, every word of them made from the numbers."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import Measure, measure
from gradsurgery.evidence.statistics import Comparison, Summary, compare, summarise, test_noise
from gradsurgery.evidence.study import STATIC, SUM, Trial, best, level, searched, winners
from gradsurgery.report.style import label

_DRAWS = 2_000
_SEED = 20_202  # of the bootstrap over trials


def against(trials: Sequence[Trial], baseline: str, rule: str) -> dict[str, Comparison]:
    """Every method's winner minus the baseline's on the same fresh seeds, Holm over all of them.

    A winner that failed on a fresh seed is not compared: its remaining seeds would flatter it.
    """
    whole = _whole(trials)
    if baseline not in whole:
        return {}
    base = {run.seed: level(run, rule, "test") for run in whole[baseline]}
    return compare({
        method: [level(run, rule, "test") - base[run.seed] for run in runs]
        for method, runs in whole.items() if method != baseline
    })  # fmt: skip


def noise(trials: Sequence[Trial], method: str, baseline: str, rule: str) -> float:
    """What the test set's size alone can move a difference of accuracies by; 0 for other metrics: not known here."""
    whole = _whole(trials)
    run = whole[method][0]
    if how(trials).name != "accuracy" or run.test_size is None:
        return 0.0
    shares = [float(np.mean([level(r, rule, "test") for r in whole[m]])) for m in (method, baseline)]
    return test_noise([(shares[0], shares[1])], run.test_size)


def table(trials: Sequence[Trial], rule: str) -> pd.DataFrame:
    """One row a method: trials, what was chosen, validation before and after, test on fresh seeds, differences."""
    shown, finished = how(trials), winners(trials)
    compared = {base: against(trials, base, rule) for base in (STATIC, SUM)}
    fresh = {t.seed for t in trials if t.kind == "winner"}
    rows = []
    for method, tried in searched(trials).items():
        winner = best(tried, rule)
        failed = sum(t.run is None for t in tried)
        row: dict[str, Any] = {
            "method": label(method),
            "trials": f"{len(tried)} ({failed} failed)" if failed else len(tried),
        }
        row["chosen"] = "every trial failed" if winner is None else changes(tried[0].declaration, winner.declaration)
        for when, trial in (("default", tried[0]), ("best", winner)):
            text = "failed"
            if trial is not None and trial.run is not None:
                text = f"{shown.factor * abs(level(trial.run, rule, 'val')):.{shown.digits}f}"
            row[f"validation, {when}{_unit(shown.unit)}"] = text
        runs = finished.get(method, [])
        tested = [level(run, rule, "test") for run in runs]
        row[f"test of the best{_unit(shown.unit)}"] = say(summarise(tested), shown, False) if tested else "failed"
        for base, entries in compared.items():
            entry = entries.get(method)
            row[f"minus tuned {label(base)}{_unit(shown.step)}"] = say(entry.difference, shown) if entry else "-"
            row[f"p after Holm ({label(base)})"] = (
                "-" if entry is None or entry.p_holm is None else f"{entry.p_holm:.3f}"
            )
        row["n"] = len(runs) if len(runs) == len(fresh) else f"{len(runs)}, failed on {len(fresh) - len(runs)}"
        rows.append(row)
    return pd.DataFrame(rows)


def sentence(trials: Sequence[Trial], rule: str) -> str:
    """Whether any method beats tuned static weights beyond the noise when all were tuned as often."""
    compared, shown, tried = against(trials, STATIC, rule), how(trials), searched(trials)
    if not compared:
        return "Tuned static weights have no finished winner to be held against."
    names: dict[str, list[str]] = {"better": [], "worse": [], "same": []}
    for method, entry in compared.items():
        apart = entry.separates(noise(trials, method, STATIC, rule))
        side = "same" if not apart else "better" if entry.difference.mean > 0 else "worse"
        names[side].append(label(method) if side == "same" else f"{label(method)} ({say(entry.difference, shown)})")
    seeds = max(entry.difference.n for entry in compared.values())
    count = len(next(iter(tried.values())))
    terms = f"{count} trials each, n = {seeds} fresh seeds, Holm over {len(compared)}"
    if shown.name != "accuracy":
        terms += "; what the test set's size can explain is not in it"
    start = "No method is better than tuned static weights beyond the noise"
    if names["better"]:
        start = f"Better than tuned static weights beyond the noise: {'; '.join(names['better'])}"
    parts = [start] + ([f"Worse: {'; '.join(names['worse'])}"] if names["worse"] else [])
    parts += [f"No difference detected: {'; '.join(names['same'])}"] if names["same"] else []
    return f"{'. '.join(parts)} ({terms})."


def expected_best(values: Sequence[float], n: int) -> float:
    """Expected best of n draws with replacement from `values` (Dodge et al., 2019, Equation 3).

    With v_1 <= ... <= v_N it is the sum of v_i ((i/N)^n - ((i-1)/N)^n).
    """
    if n < 1:
        raise ValueError(f"`n` must be at least 1, found n = {n}.")
    return float(np.sort(np.array(values)) @ _shares(len(values), n))


def drawn(trials: Sequence[Trial], rule: str) -> dict[str, list[float]]:
    """Validation levels of every method's trials. A failed trial counts as the worst that any trial reached."""
    tried = searched(trials)
    found = {m: [level(t.run, rule, "val") if t.run else None for t in own] for m, own in tried.items()}
    finished = [value for values in found.values() for value in values if value is not None]
    worst = min(finished, default=0.0)
    return {m: [worst if value is None else value for value in values] for m, values in found.items()}


def curves(trials: Sequence[Trial], rule: str) -> dict[str, list[float]]:
    """By method the expected best validation of n = 1, ..., N trials."""
    return {m: [expected_best(own, n + 1) for n in range(len(own))] for m, own in drawn(trials, rule).items()}


def curve_table(trials: Sequence[Trial], rule: str) -> pd.DataFrame:
    """The curves at a few n, with the interval that the trials drawn leave: a bootstrap over a method's trials."""
    shown, rows = how(trials), []
    for method, values in drawn(trials, rule).items():
        rng = np.random.default_rng(_SEED)
        samples = np.sort(rng.choice(np.array(values), (_DRAWS, len(values))), axis=1)
        row: dict[str, Any] = {"method": label(method)}
        for n in sorted({1, 5, len(values)} & set(range(1, len(values) + 1))):
            low, high = np.quantile(samples @ _shares(len(values), n), [0.025, 0.975])
            summary = Summary(len(values), expected_best(values, n), None, float(low), float(high))
            row[f"expected best of {n}{_unit(shown.unit)}"] = say(summary, shown, False)
        rows.append({**row, "trials": len(values)})
    return pd.DataFrame(rows)


def order_sentence(trials: Sequence[Trial], rule: str) -> str:
    """Who leads at which number of trials, and where the order of all methods changes."""
    found = curves(trials, rule)
    count = len(next(iter(found.values())))
    orders = [sorted(found, key=lambda m: (-found[m][n], m)) for n in range(count)]
    leaders = [
        (m, [n + 1 for n, _ in group])
        for m, group in itertools.groupby(enumerate(o[0] for o in orders), lambda e: e[1])
    ]
    led = "; ".join(f"{label(m)} for n = {ns[0]}{f' to {ns[-1]}' if len(ns) > 1 else ''}" for m, ns in leaders)
    moved = [str(n + 1) for n in range(1, count) if orders[n] != orders[n - 1]]
    tail = f"the order of the methods changes at n = {', '.join(moved)}" if moved else "the order never changes"
    return f"Expected best validation of n trials: first is {led}; {tail}."


def changes(default: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    """What a trial set otherwise than the default, or that it is the default."""
    told = []
    for block in ("settings", "transform", "balancer", "rule", "aggregator"):
        before, after = default.get(block, {}), chosen.get(block, {})
        for name, value in after.items():
            if before.get(name) != value:
                told.append(f"{name.replace('_', ' ')} {_short(value)}")
    return ", ".join(told) or "the default"


def how(trials: Sequence[Trial]) -> Measure:
    """How the first kind of metric of the problem is printed."""
    run: Run | None = next((t.run for t in trials if t.run is not None), None)
    if run is None:
        raise ValueError("a study must hold at least one trial that did not fail, found none.")
    return measure(next(iter(run.metrics)))


def say(summary: Summary, shown: Measure, signed: bool = True) -> str:
    """`+0.21 [+0.08, +0.34]` in the unit of the metric; a level of a metric where less is better is turned again."""
    numbers = [v * shown.factor for v in (summary.mean, summary.low, summary.high) if v is not None]
    if not signed and summary.mean < 0:
        numbers = [-numbers[0], *sorted(-v for v in numbers[1:])]
    text = [f"{value:{'+' if signed else ''}.{shown.digits}f}" for value in numbers]
    return text[0] if len(text) == 1 else f"{text[0]} [{text[1]}, {text[2]}]"


def _whole(trials: Sequence[Trial]) -> dict[str, list[Run]]:
    fresh = {t.seed for t in trials if t.kind == "winner"}
    return {m: runs for m, runs in winners(trials).items() if {run.seed for run in runs} == fresh}


def _shares(count: int, n: int) -> np.ndarray:
    """How likely each of `count` values in ascending order is the best of n draws."""
    return np.diff((np.arange(count + 1) / count) ** n)


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(_short(v) for v in value)})"
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _unit(text: str) -> str:
    return f" ({text})" if text else ""
