"""From runs to `metrics.json`: every experiment under its problem's selection rule, and against the others.

`all.<metric>` is the mean over the tasks that have this metric. Differences to the sum are `ours - sum` in the metric's
own unit, each with `higher`: whether more is better.

Seeds are paired: seed s of two experiments shares split, initialisation, data order and augmentation, so differences,
Delta-m and ranks are taken per seed and averaged afterwards. Delta-m is taken against the single-task runs of the same
seed; its interval therefore carries their spread too. (The published Delta-m is the ratio of seed-averaged metrics.)

Holm's correction and mean ranks are taken among the lines that keep the contract of the controlled table; a line that
does not says why under `excluded`, and is compared with the sum like the others, uncorrected. A line of which a seed
diverged has no means and is compared with nothing: its `diverged` says which seeds did, and in which epoch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.core.metrics import delta_m_metric, delta_m_task, largest_contributor, mean_ranks
from gradsurgery.evidence import diverged
from gradsurgery.evidence.contract import violations
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import by_word
from gradsurgery.evidence.noise import mean_noise, metric_noise
from gradsurgery.evidence.selection import RULES, select
from gradsurgery.evidence.statistics import Summary, compare, significant, summarise

DEFAULT_RULE = "best-val"
BASELINE = "sum"

Seeds = dict[int, dict[str, float]]


def evaluate(runs: Mapping[str, Sequence[Run]], selections: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The content of `metrics.json`.

    Args:
        runs: the runs of every experiment, by name.
        selections: selection rule per problem; `best-val` where a problem is not named.
    """
    result: dict[str, dict[str, Any]] = {}
    for problem in sorted({group[0].problem for group in runs.values()}):
        members = {name: runs[name] for name in sorted(runs) if runs[name][0].problem == problem}
        rule = selections.get(problem, DEFAULT_RULE)
        if next(iter(members.values()))[0].trajectory is not None:
            rule = "last"  # a landscape has no data to select on: where the descent stopped is the answer
        whole, gone = diverged.split(members)
        if whole:
            result |= _problem(whole, rule)
        result |= {name: diverged.record(group, rule) for name, group in gone.items()}
    return result


def _problem(members: Mapping[str, Sequence[Run]], rule: str) -> dict[str, dict[str, Any]]:
    chosen = {name: {run.seed: select(run, rule) for run in group} for name, group in members.items()}
    records = {name: _record(group, rule) for name, group in members.items()}
    first = next(iter(members.values()))[0]
    base = _single_task_base(members, chosen, first.metrics)
    competitors = [name for name in members if set(members[name][0].own_metrics) == set(first.metrics)]
    baseline = f"{first.problem}-{BASELINE}"
    for name in competitors:
        if baseline in chosen and name != baseline:
            records[name][f"minus_{BASELINE}"] = _paired(chosen[name], chosen[baseline], first)
            records[name] |= _delta_m_baseline(chosen[name], chosen[baseline], first.metrics)
        records[name] |= _delta_m(chosen[name], base, first.metrics)
    barred = violations(members, rule, baseline)
    for name, reasons in barred.items():
        records[name]["excluded"] = reasons
    track = members.get(baseline, next(iter(members.values())))[0].track
    fair = [name for name in competitors if name not in barred and members[name][0].track == track]
    others = {name: chosen[name] for name in fair if name != baseline}
    for name, corrected in _corrected(others, chosen.get(baseline, {}), first).items():
        for key, entry in corrected.items():
            records[name][f"minus_{BASELINE}"][key] |= entry
    shared = set.intersection(*(set(chosen[name]) for name in fair)) if fair else set()
    if len(fair) > 1 and shared:
        ranks = [mean_ranks({n: chosen[n][seed] for n in fair}, first.metrics) for seed in sorted(shared)]
        for name in fair:
            records[name]["mean_rank"] = summarise([rank[name] for rank in ranks]).as_record()
            records[name]["competitors"] = len(fair)
    return records


def _record(group: Sequence[Run], rule: str) -> dict[str, Any]:
    run = group[0]
    record: dict[str, Any] = {
        "problem": run.problem, "method": run.method, "scale": run.scale, "track": run.track,
        "n": len(group), "selection": rule, "epochs": len(run.epochs),
        "skipped_steps": sum(r.skipped_steps for r in group),
        "rules": {
            name: {m: significant(float(np.mean([select(r, name)[m] for r in group]))) for m in run.own_metrics}
            for name in RULES
        },
    }  # fmt: skip
    record |= {m: summarise([select(r, rule)[m] for r in group]).as_record() for m in run.own_metrics}
    if set(run.own_metrics) == set(run.metrics):
        chosen = {r.seed: select(r, rule) for r in group}
        for word, names in by_word(run.metrics).items():
            record[f"all.{word}"] = summarise([row["all"] for row in _task_mean(chosen, names).values()]).as_record()
    losses = [f"train.{task}.loss" for task in run.tasks if any(m.startswith(f"{task}.") for m in run.own_metrics)]
    if losses and all(loss in run.epochs[-1] for loss in losses):
        final = [float(np.mean([r.epochs[-1][loss] for loss in losses])) for r in group]
        record["final_train_loss"] = summarise(final).as_record()
    if run.trajectory is not None:
        record["landscape"] = landscape_end(run)
    return record


def landscape_end(run: Run) -> dict[str, Any]:
    """Where a descent ended: starts, how many are solved, how many are stuck above zero, and the mean loss per start.

    `solved` is the problem's own metric (its tolerance lies in `problems/landscape.py`). `stuck` counts starts whose
    mean task loss is still positive, which is how cagrad.md 1.7(a) tells the valley from the optimum.
    """
    if run.trajectory is None:
        raise ValueError("`run` must be a landscape run, found one without a trajectory.")
    losses = np.array(run.trajectory["losses"][-1])
    mean = losses.mean(axis=1)
    return {
        "starts": len(mean),
        "solved": round(run.epochs[-1].get("test.all.solved", 0.0) * len(mean)),
        "stuck": int((mean > 0).sum()),
        "end_loss": [significant(float(v)) for v in mean],
        "end_theta": [[significant(float(v)) for v in point] for point in run.trajectory["theta"][-1]],
        "first_solved": run.trajectory["first_solved"],
    }


def _single_task_base(members: Mapping[str, Sequence[Run]], chosen: Mapping[str, Seeds], metrics: Mapping) -> Seeds:
    """Per seed, the metrics of our own single-task runs, each giving its own task's; only seeds that have them all."""
    singles = [name for name, group in members.items() if set(group[0].own_metrics) != set(group[0].metrics)]
    merged: Seeds = {}
    for name in singles:
        for seed, row in chosen[name].items():
            merged.setdefault(seed, {}).update(row)
    return {seed: row for seed, row in merged.items() if set(row) == set(metrics)}


def _delta_m(rows: Seeds, base: Seeds, metrics: Mapping[str, bool]) -> dict[str, Any]:
    seeds = _comparable(rows, base)
    if not seeds:
        return {}
    record: dict[str, Any] = {
        "delta_m_metric": summarise([delta_m_metric(rows[s], base[s], metrics) for s in seeds]).as_record(),
        "delta_m_task": summarise([delta_m_task(rows[s], base[s], metrics) for s in seeds]).as_record(),
    }
    mean_row, mean_base = _mean(rows, seeds), _mean(base, seeds)
    largest = largest_contributor(mean_row, mean_base, metrics)
    others = {name: higher for name, higher in metrics.items() if name != largest}
    if others:
        record["delta_m_without_largest"] = {
            "left_out": largest,
            **summarise([delta_m_metric(rows[s], base[s], others) for s in seeds]).as_record(),
        }
    return record


def _delta_m_baseline(rows: Seeds, baseline: Seeds, metrics: Mapping[str, bool]) -> dict[str, Any]:
    """Delta-m against the sum, which every problem has: one number where the metrics are of several kinds."""
    seeds = _comparable(rows, baseline)
    if not seeds:
        return {}
    return {f"delta_m_{BASELINE}": summarise([delta_m_task(rows[s], baseline[s], metrics) for s in seeds]).as_record()}


def _comparable(rows: Seeds, base: Seeds) -> list[int]:
    """Seeds of both sides whose base is nowhere zero, as a relative change needs."""
    return [s for s in sorted(set(rows) & set(base)) if all(value != 0 for value in base[s].values())]


def _paired(rows: Seeds, baseline: Seeds, run: Run) -> dict[str, Any]:
    """Differences per metric, per mean over tasks, and under `all` where every task has the same metric.

    `test_noise` beside a difference is what the test set's size alone can move it by, where that is known.
    """
    seeds = sorted(set(rows) & set(baseline))
    if not seeds:
        return {}
    differences = {
        name: difference(rows, baseline, name).as_record() | {"higher": run.metrics[name]} for name in rows[seeds[0]]
    }
    mine, theirs = _mean(rows, seeds), _mean(baseline, seeds)
    noises = {name: metric_noise(run, name, mine[name], theirs[name]) for name in run.metrics}
    words = by_word(run.metrics)
    for word, names in words.items():
        total = difference(_task_mean(rows, names), _task_mean(baseline, names), "all").as_record()
        differences[f"all.{word}"] = total | {"higher": run.metrics[names[0]]}
        noises[f"all.{word}"] = mean_noise(run, names, mine, theirs)
    for name, entry in differences.items():
        if (noise := noises[name]) is not None:
            entry["test_noise"] = significant(noise)
    if len(words) == 1:
        differences["all"] = differences[f"all.{next(iter(words))}"]
    return differences


def _corrected(others: Mapping[str, Seeds], baseline: Seeds, run: Run) -> dict[str, dict[str, dict[str, Any]]]:
    """By experiment, what only a comparison of all methods at once can say of a difference: Holm's p and more."""
    result: dict[str, dict[str, dict[str, Any]]] = {
        name: {} for name, rows in others.items() if set(rows) & set(baseline)
    }
    words = by_word(run.metrics)
    for word, names in words.items():
        means = _task_mean(baseline, names)
        paired = {
            name: [
                row["all"] - means[seed]["all"]
                for seed, row in _task_mean(others[name], names).items()
                if seed in means
            ]
            for name in result
        }
        for name, comparison in compare(paired, run.metrics[names[0]]).items():
            result[name][f"all.{word}"] = comparison.as_record()
            if len(words) == 1:
                result[name]["all"] = comparison.as_record()
    return result


def _task_mean(rows: Seeds, names: Sequence[str]) -> Seeds:
    return {seed: {"all": float(np.mean([row[name] for name in names]))} for seed, row in rows.items()}


def difference(rows: Seeds, others: Seeds, metric: str) -> Summary:
    """Paired difference `rows - others` of one metric over the seeds that both have."""
    return summarise([rows[s][metric] - others[s][metric] for s in sorted(set(rows) & set(others))])


def _mean(rows: Seeds, seeds: Sequence[int]) -> dict[str, float]:
    return {name: float(np.mean([rows[s][name] for s in seeds])) for name in rows[seeds[0]]}
