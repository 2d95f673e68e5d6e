"""From runs to `metrics.json`: every experiment under its problem's selection rule, and against the others.

`all.<metric>` is the mean over the tasks that have this metric. Differences to the sum are `ours - sum` in the metric's
own unit, each with `higher`: whether more is better.

Seeds are paired: seed s of two experiments shares split, initialisation, data order and augmentation, so differences,
Delta-m and ranks are taken per seed and averaged afterwards. Delta-m is taken against the single-task runs of the same
seed; its interval therefore carries their spread too. (The published Delta-m is the ratio of seed-averaged metrics.)

Mean ranks are taken among the lines that keep the contract of the controlled table; a line that does not says why under
`excluded`. A line is compared with the sum on its own budget: one of equal compute with the sum that has as much
(family `sum, equal compute`). A line of which a seed diverged has no means and is compared with nothing: its `diverged`
says which seeds did, and in which epoch. `improving` says that the last epoch is the best of every seed.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.core.metrics import delta_m_metric, delta_m_task, largest_contributor, mean_ranks
from gradsurgery.evidence import diverged
from gradsurgery.evidence.contract import violations
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.groups import Groups, Metrics
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line, lines_of
from gradsurgery.evidence.measures import by_word
from gradsurgery.evidence.selection import RULES, improving, select
from gradsurgery.evidence.statistics import significant, summarise

DEFAULT_RULE = "best-val"
BASELINE = "sum"

Seeds = dict[int, dict[str, float]]


def evaluate(runs: Groups, selections: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], list[Contrast]]:
    """The content of `metrics.json`, and every line's difference to the sum of its problem (family `sum`).

    Args:
        runs: the runs of every experiment, by name.
        selections: selection rule per problem; `best-val` where a problem is not named.
    """
    result: dict[str, dict[str, Any]] = {}
    contrasts: list[Contrast] = []
    for problem in sorted({group[0].problem for group in runs.values()}):
        members = {name: runs[name] for name in sorted(runs) if runs[name][0].problem == problem}
        rule = rule_of(members, selections)
        whole, gone = diverged.split(members)
        if whole:
            records, found = _problem(lines_of(whole, rule), rule)
            result |= records
            contrasts += found
        result |= {name: diverged.record(group, rule) for name, group in gone.items()}
    return result, contrasts


def rule_of(members: Groups, selections: Mapping[str, str]) -> str:
    """How one problem's runs are judged."""
    run = next(iter(members.values()))[0]
    # a landscape has no data to select on: where the descent stopped is the answer
    return "last" if run.trajectory is not None else selections.get(run.problem, DEFAULT_RULE)


def _problem(lines: Mapping[str, Line], rule: str) -> tuple[dict[str, dict[str, Any]], list[Contrast]]:
    first = next(iter(lines.values())).run
    records = {m: _record(line) for m, line in lines.items()}
    base, competitors = _single_task_base(lines), {m: line for m, line in lines.items() if line.whole}
    barred = violations({m: line.runs for m, line in lines.items()}, rule, BASELINE)
    for m, reasons in barred.items():
        records[m]["excluded"] = reasons
    track = lines.get(BASELINE, next(iter(lines.values()))).run.track
    fair = [m for m in competitors if m not in barred and lines[m].run.track == track]
    for m, line in competitors.items():
        if BASELINE in lines and m != BASELINE:
            records[m][f"minus_{BASELINE}"] = {}
            records[m] |= _delta_m_baseline(line.chosen, lines[BASELINE].chosen, first.metrics)
        records[m] |= _delta_m(line.chosen, base, first.metrics)
    contrasts = _against_sum(competitors)
    words = by_word(first.metrics)
    for found in contrasts:
        if found.minus != BASELINE:
            continue
        entries = records[found.method][f"minus_{BASELINE}"]
        noise = {} if found.noise is None else {"test_noise": significant(found.noise)}
        entries[found.metric] = found.difference.as_record() | {"higher": found.higher} | noise
        if len(words) == 1 and found.metric.startswith("all."):
            entries["all"] = entries[found.metric]
    shared = set.intersection(*(set(lines[m].chosen) for m in fair)) if fair else set()
    if len(fair) > 1 and shared:
        ranks = [mean_ranks({m: lines[m].chosen[seed] for m in fair}, first.metrics) for seed in sorted(shared)]
        for m in fair:
            records[m]["mean_rank"] = summarise([rank[m] for rank in ranks]).as_record()
            records[m]["competitors"] = len(fair)
    return {lines[m].run.experiment: record for m, record in records.items()}, contrasts


def _against_sum(lines: Mapping[str, Line]) -> list[Contrast]:
    """Of every metric by itself, and of each mean over tasks."""
    if BASELINE not in lines:
        return []
    base, found = lines[BASELINE], list[Contrast | None]()
    long = {line.run.role.of: line for line in lines.values() if line.run.role.base == BASELINE}
    for metric in dict.fromkeys([*base.run.metrics, *(f"all.{word}" for word in by_word(base.run.metrics))]):
        for method, line in lines.items():
            same = long.get(line.run.role.of) if line.run.role.kind == "equal_compute" else None
            if method != BASELINE and line.on_budget_of(base):
                found.append(Contrast.of("sum", line, base, metric))
            elif same is not None and same is not line:
                found.append(Contrast.of("sum, equal compute", line, same, metric))
    return [contrast for contrast in found if contrast]


def _record(line: Line) -> dict[str, Any]:
    run, group = line.run, line.runs
    record: dict[str, Any] = {
        "problem": run.problem, "method": run.method, "scale": run.scale, "track": run.track,
        "n": len(group), "selection": line.rule, "epochs": len(run.epochs),
        "skipped_steps": sum(r.skipped_steps for r in group), "improving": improving(group),
        "rules": {
            name: {m: significant(float(np.mean([select(r, name)[m] for r in group]))) for m in run.own_metrics}
            for name in RULES
        },
    }  # fmt: skip
    means = [f"all.{word}" for word in by_word(run.metrics)] if line.whole else []
    record |= {m: summarise(list(line.values(m).values())).as_record() for m in (*run.own_metrics, *means)}
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


def _single_task_base(lines: Mapping[str, Line]) -> Seeds:
    """Per seed, the metrics of our own single-task runs, each giving its own task's; only seeds that have them all.
    Where there are none, those of a network for every task in one run."""
    merged: Seeds = {}
    for line in [e for e in lines.values() if not e.whole] or [e for e in lines.values() if e.alone]:
        for seed, row in line.chosen.items():
            merged.setdefault(seed, {}).update(row)
    metrics = next(iter(lines.values())).run.metrics
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


def _mean(rows: Seeds, seeds: Sequence[int]) -> dict[str, float]:
    return {name: float(np.mean([rows[s][name] for s in seeds])) for name in rows[seeds[0]]}


def results(metrics: Metrics) -> str:
    """Every summary of metrics.json as CSV, one a row: experiment, metric, mean, sd, low, high, n and how chosen."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("problem", "method", "scale", "track", "selection")
    writer.writerow(["experiment", *names, "metric", "mean", "sd", "low", "high", "n"])
    for experiment in sorted(metrics):
        record = metrics[experiment]
        minus = record.get(f"minus_{BASELINE}", {}).items()
        summaries = {name: entry for name, entry in record.items() if isinstance(entry, Mapping) and "mean" in entry}
        for name, entry in {**summaries, **{f"{name} minus {BASELINE}": entry for name, entry in minus}}.items():
            numbers = [entry["mean"], entry["sd"], *(entry["ci95"] or (None, None)), entry["n"]]
            writer.writerow([experiment, *(record[field] for field in names), name, *numbers])
    return out.getvalue()
