"""Controls that decide whether a mechanism is real: placebos, tuned weights, noise floor, nulls for conflict.

All are read from ordinary experiments of one problem, known by what they declare: a placebo by its name, tuned weights
by the balancer `static`, a repeat by `-repeat` at the end of its name, the nulls by what their diagnostics hold. Levels
are means over the tasks of a problem's first metric, turned so that more is better.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gradsurgery.evidence.contract import TRACK, violations, watching
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import Measure, by_word, measure
from gradsurgery.evidence.noise import mean_noise
from gradsurgery.evidence.selection import RULES, score, select
from gradsurgery.evidence.statistics import Comparison, Summary, compare, summarise
from gradsurgery.report.style import family, label
from gradsurgery.report.tables import source

Runs = Mapping[str, Sequence[Run]]
Levels = dict[int, float]

METHOD = "pcgrad"  # what the placebos are placebos of
PLACEBOS = ("placebo_random", "placebo_positive", "placebo_permuted")
BASELINE = "sum"
# The sum on more epochs than the problem has; with two tasks, twice as many are as many backward passes as PCGrad's.
LONG = ("sum-long", "sum-equal_passes")
LARGEST = "largest difference of any number in the histories"
LEAST = 3  # weights that can be called tuned


def levels(group: Sequence[Run], rule: str) -> Levels:
    """By seed, the test metric at the epoch that `rule` picks: mean of tasks, more is better."""
    return {run.seed: _level(run, RULES[rule](run), "test") for run in group}


def placebos(runs: Runs, rule: str) -> dict[str, Comparison]:
    """PCGrad minus each placebo and minus the sum, at equal epochs and at equal passes, paired and corrected together.

    Args:
        runs: of one problem, by method.
        rule: its selection rule.
    """
    if METHOD not in runs:
        return {}
    own = levels(runs[METHOD], rule)
    others = [m for m in (*PLACEBOS, BASELINE, *LONG) if m in runs]
    paired = {m: _minus(own, levels(runs[m], rule)) for m in others}
    return compare({m: values for m, values in paired.items() if values})


def placebo_table(runs: Runs, rule: str) -> pd.DataFrame:
    """One row per placebo and the sum: its level, and what PCGrad has over it."""
    how, compared = _measure(runs), placebos(runs, rule)
    rows = []
    for method, entry in compared.items():
        level = summarise(list(levels(runs[method], rule).values()))
        rows.append({
            "held against": source(runs[method][0].experiment, label(method)),
            f"its {how.name}, mean of tasks{_unit(how.unit)}": _say(level, how, signed=False, absolute=True),
            f"{label(METHOD)} minus it{_unit(how.step)}": _say(entry.difference, how),
            "p after Holm": _p(entry), f"seeds on which {label(METHOD)} is better": _seeds(entry),
            "effect (Hedges)": "-" if entry.effect is None else f"{entry.effect:+.1f}", "n": entry.difference.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def placebo_sentence(runs: Runs, rule: str) -> str:
    """Whether PCGrad does better than what shares all but its mechanism; only the numbers decide the words."""
    compared = placebos(runs, rule)
    tested = {m: entry for m, entry in compared.items() if m in PLACEBOS}
    if not tested:
        return ""
    noise, name = noise_of(runs, (METHOD, *tested), rule), label(METHOD)
    ahead = [m for m, entry in tested.items() if entry.separates(noise) and entry.difference.mean > 0]
    behind = [m for m, entry in tested.items() if entry.separates(noise) and entry.difference.mean < 0]
    same = [m for m in tested if m not in (*ahead, *behind)]
    parts = [f"{name} is better than {_list(ahead)}"] if ahead else []
    parts += [f"worse than {_list(behind)}"] if behind else []
    parts += [f"not told from {_list(same)}"] if same else []
    text = f"{'; '.join(parts)} (n = {max(e.difference.n for e in tested.values())}, Holm over {len(compared)})."
    text = text if text.startswith(name) else f"{name} is {text}"
    if same or behind:
        text += " A placebo that does as well, or cannot be told apart, leaves the mechanism unsupported here."
    for equal in (m for m in LONG if m in compared):
        entry, how = compared[equal], _measure(runs)
        told = entry.separates(noise_of(runs, (METHOD, equal), rule))
        side = "no difference detected" if not told else "better" if entry.difference.mean > 0 else "worse"
        step = f" {how.step}" if how.step else ""
        text += f" Against the sum with as many backward passes: {side} ({_say(entry.difference, how)}{step})."
    return text


def tuned(runs: Runs, rule: str) -> tuple[Levels, Levels, int]:
    """Tuned static weights: by seed, the test level of the weights that validate best on that seed.

    Choosing per seed puts the choice itself into the interval, not only the training.

    Returns:
        The levels, the first weight that was chosen on each seed, and how many weights there were to choose from.
    """
    static = {
        m: group for m, group in runs.items() if group[0].declaration.get("balancer", {}).get("name") == "static"
        and group[0].track == TRACK
    }  # fmt: skip
    chosen: Levels = {}
    weights: Levels = {}
    seeds = set.intersection(*({run.seed for run in group} for group in static.values())) if static else set()
    for seed in sorted(seeds):
        here = [next(run for run in group if run.seed == seed) for group in static.values()]
        best = max(here, key=lambda run: _level(run, RULES[rule](run), "val"))
        chosen[seed] = _level(best, RULES[rule](best), "test")
        given = best.declaration["balancer"]["weights"]
        weights[seed] = given[0] / sum(given)
    return chosen, weights, len(static)


def tuned_table(runs: Runs, rule: str) -> pd.DataFrame:
    """Row 1 is tuned static weights; below it every controlled method, and what it has over them."""
    how = _measure(runs)
    best, weights, count = tuned(runs, rule)
    if count < LEAST:
        return pd.DataFrame()
    others = {
        m: levels(group, rule) for m, group in runs.items()
        if group[0].track == TRACK and family(m) not in ("static", "single_task", "floor") and not watching(m)
    }  # fmt: skip
    compared = compare({m: _minus(own, best) for m, own in others.items() if _minus(own, best)})
    column, against = f"{how.name}, mean of tasks{_unit(how.unit)}", f"minus tuned static{_unit(how.step)}"
    share = ", ".join(f"{w:.2f}" for w in weights.values())
    rows = [{
        "method": f"static weights, best of {count} on validation (first weight by seed: {share})",
        column: _say(summarise(list(best.values())), how, signed=False, absolute=True),
        against: "-", "p after Holm": "-", "trials": count, "n": len(best),
    }]  # fmt: skip
    for method in sorted(compared, key=lambda m: -compared[m].difference.mean):
        entry = compared[method]
        level = summarise(list(others[method].values()))
        rows.append({
            "method": source(runs[method][0].experiment, label(method)),
            column: _say(level, how, signed=False, absolute=True),
            against: _say(entry.difference, how), "p after Holm": _p(entry), "trials": 1, "n": entry.difference.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def noise_floor(runs: Runs, rule: str) -> pd.DataFrame:
    """How far one experiment moves when it is run again, with the same seed and with another one."""
    how, rows = _measure(runs), []
    for method, group in runs.items():
        original = method.removesuffix("-repeat")
        if original == method or original not in runs:
            continue
        pairs = [(run, other) for run in group for other in runs[original] if run.seed == other.seed]
        spread = summarise(list(levels(runs[original], rule).values()))
        rows.append({
            "experiment": source(group[0].experiment, label(original)), "repeated with the same seed": len(pairs),
            LARGEST: f"{max((_largest(*p) for p in pairs), default=0.0):g}",
            "sd over other seeds, mean of tasks": "-" if spread.sd is None
            else f"{how.factor * spread.sd:.{how.digits}f} {how.step or how.name}".rstrip(), "n (seeds)": spread.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def noise_sentence(floor: pd.DataFrame) -> str:
    """How many of the repeats in a `noise_floor` gave the very same numbers."""
    same = int((floor[LARGEST] == "0").sum())
    text = f"Run again on the same seed, {same} of {len(floor)} experiments gave the same history to the last digit"
    if same < len(floor):
        text += f"; the largest difference of any number elsewhere is {max(map(float, floor[LARGEST])):g}"
    return f"{text}; what a difference between methods has to stand out from is the spread over seeds."


def nulls(runs: Runs) -> pd.DataFrame:
    """Cosines between tasks beside cosines that hold no conflict of tasks: halves of batches, mixtures, chance."""
    rows = []
    for method, group in runs.items():
        for key, text in (
            ("mean_cosine", "two tasks, whole batch"),
            ("null.cross_task", "two tasks, one half of the batch each"),
            ("null.same_task", "one task, two halves of the batch"),
        ):
            if any("null.same_task" in row for run in group for row in run.diagnostics):
                rows.append(_null(group, key, f"{text} (trained with {label(method.removesuffix('-half_batches'))})"))
        if method == "placebo_permuted":
            rows.append(_null(group, "mean_cosine", f"mixtures of the tasks on parts of the batch ({label(method)})"))
        deviations = {row["null.random_sd"] for run in group for row in run.diagnostics if "null.random_sd" in row}
        for deviation in deviations:
            text = f"two random directions, P = {round(deviation**-2):,} (computed)"
            rows.append({
                "gradients of": source(group[0].experiment, text), "mean cosine": "0",
                "share below 0": "0.5", "sd": f"{deviation:.2g}", "n": "-",
            })  # fmt: skip
    return pd.DataFrame(rows)


def null_sentence(runs: Runs) -> str:
    """Whether two tasks conflict more than two halves of one task's batch do, at the same noise."""
    for group in runs.values():
        pairs = [
            _mean(run, "null.cross_task") - _mean(run, "null.same_task")
            for run in group if any("null.same_task" in row for row in run.diagnostics)
        ]  # fmt: skip
        if len(pairs) > 1:
            gap = summarise(pairs)
            said = f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], n = {gap.n}"
            if gap.high is not None and gap.high < 0:
                return f"Two tasks agree less than two halves of one task's batch (difference of mean cosines {said})."
            if gap.low is not None and gap.low > 0:
                return f"Two tasks agree more than two halves of one task's batch (difference of mean cosines {said})."
            return f"No difference detected between two tasks and two halves of one task's batch (mean cosine {said})."
    return ""


def barred(runs: Runs, rule: str) -> pd.DataFrame:
    """Controlled lines that break the contract, and so may not stand in the controlled table, with the reasons."""
    found = violations(runs, rule, BASELINE)
    return pd.DataFrame(
        [{"method": source(runs[m][0].experiment, label(m)), "why": "; ".join(why)} for m, why in found.items()]
    )


def noise_of(runs: Runs, methods: Sequence[str], rule: str) -> float:
    """What the test set's size alone can move the first method minus another by; 0 where it is not known."""
    run = runs[methods[0]][0]
    names = next(iter(by_word(run.metrics).values()))
    chosen = {m: [select(each, rule) for each in runs[m]] for m in methods}
    means = {m: {name: float(np.mean([row[name] for row in rows])) for name in names} for m, rows in chosen.items()}
    return max(mean_noise(run, names, means[methods[0]], means[m]) or 0.0 for m in methods)


def _level(run: Run, epochs: Sequence[int], split: str) -> float:
    names = next(iter(by_word(run.own_metrics).values()))
    metrics = {name: run.own_metrics[name] for name in names}
    return float(np.mean([score(run.epochs[index], split, metrics) for index in epochs]))


def _minus(rows: Levels, others: Levels) -> list[float]:
    return [rows[seed] - others[seed] for seed in sorted(set(rows) & set(others))]


def _largest(run: Run, other: Run) -> float:
    """Over every number of both histories; infinite where one has a number that the other lacks."""
    largest = 0.0
    for mine, theirs in zip([*run.epochs, *run.diagnostics], [*other.epochs, *other.diagnostics], strict=False):
        if set(mine) != set(theirs):
            return float("inf")
        largest = max([largest, *(abs(mine[key] - theirs[key]) for key in mine if mine[key] is not None)])
    same = (len(run.epochs), len(run.diagnostics)) == (len(other.epochs), len(other.diagnostics))
    return largest if same else float("inf")


def _null(group: Sequence[Run], key: str, text: str) -> dict[str, object]:
    values = [row[key] for run in group for row in run.diagnostics if row.get(key) is not None]
    means = summarise([_mean(run, key) for run in group])
    interval = "" if means.low is None else f" [{means.low:.3f}, {means.high:.3f}]"
    return {
        "gradients of": source(group[0].experiment, text), "mean cosine": f"{means.mean:.3f}{interval}",
        "share below 0": f"{np.mean(np.array(values) < 0):.2f}", "sd": f"{np.std(values):.3f}",
        "n": f"{len(group)} seeds, {len(values)} steps",
    }  # fmt: skip


def _mean(run: Run, key: str) -> float:
    return float(np.mean([row[key] for row in run.diagnostics if row.get(key) is not None]))


def _measure(runs: Runs) -> Measure:
    return measure(next(iter(next(iter(runs.values()))[0].metrics)))


def _say(summary: Summary, how: Measure, signed: bool = True, absolute: bool = False) -> str:
    """A mean with its interval; `absolute` turns the level of a metric where less is better round again."""
    numbers = (
        [summary.mean] if summary.low is None or summary.high is None else [summary.mean, summary.low, summary.high]
    )
    shown = [how.factor * number for number in numbers]
    if absolute and summary.mean < 0:
        shown = [-shown[0], *sorted(-number for number in shown[1:])]
    text = [f"{number:{'+' if signed else ''}.{how.digits}f}" for number in shown]
    return text[0] if len(text) == 1 else f"{text[0]} [{text[1]}, {text[2]}]"


def _p(entry: Comparison) -> str:
    return "-" if entry.p_holm is None else f"{entry.p_holm:.3f}"


def _seeds(entry: Comparison) -> str:
    return f"{entry.improved:g} of {entry.difference.n}"


def _unit(text: str) -> str:
    return f" ({text})" if text else ""


def _list(methods: Sequence[str]) -> str:
    return ", ".join(label(m) for m in methods)
