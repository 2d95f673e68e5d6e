"""Puts the report together: histories, metrics, costs and published records in; named files out. No paths, no clock."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.problems.overlay import DATA_CARD
from gradsurgery.reporting import figures, landscapes, tables
from gradsurgery.reporting.findings import Finding, image_sentence, judge, landscape_sentence, paper_sentence
from gradsurgery.reporting.history import Run
from gradsurgery.reporting.page import render
from gradsurgery.reporting.published import Paper
from gradsurgery.reporting.readme import findings_table
from gradsurgery.reporting.selection import score
from gradsurgery.reporting.statistics import significant
from gradsurgery.reporting.style import NAMES, family, label, png, studied, svg

Groups = Mapping[str, Sequence[Run]]
Metrics = Mapping[str, Mapping[str, Any]]

TITLES = {
    "multi_mnist": "MultiMNIST", "multi_fashion": "MultiFashion", "multi_fashion_mnist": "Multi-Fashion+MNIST",
    "cagrad_toy": "of CAGrad", "sam_gs_toy1": "of SAM-GS, one optimum", "sam_gs_toy2": "of SAM-GS, two optima",
    "pcgrad_toy": "of PCGrad",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sources:
    """Everything that the report is made from; the dictionaries are keyed by experiment, `datasets` by data set."""

    groups: Groups
    metrics: Metrics
    costs: Mapping[str, Mapping[str, Any]]
    papers: Sequence[Paper]
    datasets: Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Report:
    """The finished files by their name under `reports/`, and the headline findings for the README."""

    files: Mapping[str, bytes]
    headlines: Sequence[Finding]


def assemble(sources: Sources) -> Report:
    """All figures, tables, plots and the page. The same sources give the same bytes."""
    problems = sorted({group[0].problem for group in sources.groups.values()})
    toys = [p for p in problems if _of(sources.groups, p)[next(iter(_of(sources.groups, p)))][0].trajectory is not None]
    images = [p for p in problems if p not in toys]
    out: dict[str, bytes] = {}
    findings = {p.key: [judge(r, sources.groups, sources.metrics) for r in p.records] for p in sources.papers}
    headlines = [f for group in findings.values() for f in group if f.record.headline]
    costs, cost_table = _costs(sources, images, out)
    toy_entries = {problem: _landscape(sources, problem, out) for problem in toys}
    context = {
        "summary": {
            "what": _what(sources, images, toys),
            "facts": _facts(sources, problems),
            "shows": [f"{_name(p.key)}: {paper_sentence(findings[p.key])}" for p in sources.papers]
            + [f"Landscape {TITLES.get(p, p)}. {landscape_sentence(p, sources.metrics)}" for p in toys]
            + [f"{TITLES.get(p, p)}. {image_sentence(p, sources.metrics)}" for p in images],
            "table": findings_table(headlines),
        },
        "papers": [_paper(p, findings[p.key], toy_entries, sources.groups, out) for p in sources.papers],
        "problems": [_image(sources, problem, out) for problem in images],
        "conflict": _conflict(sources, images, out),
        "conflict_table": _keep("conflict", _conflict_table(sources.groups, images), out),
        "costs": costs,
        "data": _data(sources, images),
        "environment": _environment(sources),
    }
    _keep("costs", cost_table, out)
    _keep("published-vs-ours", findings_table(headlines), out)
    if "cagrad_toy" in toys:
        runs = {m: g[0] for m, g in _of(sources.groups, "cagrad_toy").items()}
        out["figures/readme.png"] = png(landscapes.overview(runs))
    out["index.html"] = render(context).encode()
    return Report(out, headlines)


def _of(groups: Groups, problem: str) -> dict[str, Sequence[Run]]:
    return {groups[name][0].method: groups[name] for name in sorted(groups) if groups[name][0].problem == problem}


def _records(metrics: Metrics, problem: str) -> dict[str, Mapping[str, Any]]:
    return {metrics[n]["method"]: metrics[n] for n in sorted(metrics) if metrics[n]["problem"] == problem}


def _name(key: str) -> str:
    return NAMES.get(key, key)


def _figure(name: str, figure: Figure, caption: str, out: dict[str, bytes]) -> dict[str, Any]:
    out[f"figures/{name}.svg"] = svg(figure)
    return {"name": name, "svg": out[f"figures/{name}.svg"], "caption": caption}


def _keep(name: str, frame: pd.DataFrame, out: dict[str, bytes]) -> pd.DataFrame:
    out[f"tables/{name}.csv"] = frame.to_csv(index=False, lineterminator="\n").encode()
    out[f"tables/{name}.md"] = tables.markdown(frame).encode()
    return frame


def _landscape(sources: Sources, problem: str, out: dict[str, bytes]) -> dict[str, Any]:
    runs = {m: g[0] for m, g in _of(sources.groups, problem).items()}
    steps = next(iter(runs.values())).trajectory or {"steps": [0]}
    note = f"{steps['steps'][-1]:,} steps; rings are starts, dots are where the descent stopped; "
    drawn = [
        _figure(
            f"{problem}-parameters", landscapes.parameter_space(runs),
            note + "lines are contours of the mean loss; the title counts starts solved.", out,
        ),
        _figure(f"{problem}-losses", landscapes.loss_space(runs), note + "axes are the two losses.", out),
    ]  # fmt: skip
    if len(next(iter(sources.metrics[r.experiment] for r in runs.values()))["landscape"]["end_loss"]) > 10:
        caption = (
            "Where perturbed copies (1e-7) of one start end: cumulative share of starts by total loss, and positions."
        )
        drawn.append(_figure(f"{problem}-ends", landscapes.end_points(runs), caption, out))
    out[f"plots/{problem}.csv"] = _csv(_trajectories(runs))
    return {
        "name": TITLES.get(problem, problem), "sentence": landscape_sentence(problem, sources.metrics),
        "figures": drawn, "table": _keep(problem, tables.landscape_table(sources.metrics, problem), out),
    }  # fmt: skip


def _trajectories(runs: Mapping[str, Run]) -> pd.DataFrame:
    columns = {}
    for method, run in runs.items():
        trajectory = run.trajectory or {"steps": [], "losses": []}
        means = [significant(float(np.mean(row))) for row in trajectory["losses"]]
        columns[method] = pd.Series(means, index=trajectory["steps"])
    return pd.DataFrame(columns).rename_axis("step").reset_index()


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _paper(
    paper: Paper, found: Sequence[Finding], toys: Mapping[str, dict[str, Any]], groups: Groups, out: dict[str, bytes]
) -> dict[str, Any]:
    claims = [f for f in found if f.record.answered_by]
    experiments = {f.record.answered_by.experiment for f in claims if f.record.answered_by}
    own = sorted({groups[e][0].problem for e in experiments if e in groups} & set(toys))
    doubts = {f"{f.record.cell}: {f.record.doubtful}": None for f in found if f.record.doubtful}
    wrong = {
        f"{table.id}, row {row}": f"prints Delta-m {table.printed[row]:g}, its own metrics give {value:.2f}"
        for table in paper.tables
        for row, value in table.disagreements().items()
    }
    cells = len(found) - len(claims)
    ledger = f"{len(found)} published values are on record, {cells} of them table cells that were not run"
    ledger += f" ({'; '.join(sorted({f.record.unanswered for f in found if f.record.unanswered}))})."
    checked = sum(len(table.recomputed()) for table in paper.tables)
    if checked:
        flaws = "; ".join(f"{cell} {flaw}" for cell, flaw in wrong.items()) or "none disagrees"
        ledger += f" Delta-m was recomputed for {checked} printed rows: {flaws}."
    return {
        "key": paper.key, "name": _name(paper.key), "title": paper.title, "authors": paper.authors,
        "year": paper.year, "arxiv": paper.arxiv, "sentence": paper_sentence(found),
        "table": _keep(f"{paper.key}-claims", findings_table(claims).drop(columns="paper"), out),
        "landscapes": [toys[problem] for problem in own], "doubts": list(doubts), "ledger": ledger,
    }  # fmt: skip


def _image(sources: Sources, problem: str, out: dict[str, bytes]) -> dict[str, Any]:
    groups, records = _of(sources.groups, problem), _records(sources.metrics, problem)
    run = next(iter(groups.values()))[0]
    settings = run.declaration.get("settings", {})
    said = ", ".join(
        f"{k.replace('_', ' ')} {settings[k]}" for k in sorted(settings) if not isinstance(settings[k], dict)
    )
    drawn = []
    if any("all" in r.get("minus_sum", {}) for r in records.values()):
        caption = "Accuracy minus that of the sum, mean of tasks, paired by seed, 95 % intervals."
        drawn.append(_figure(f"{problem}-differences", figures.differences(records), caption, out))
    if any(len(r["rules"]["last"]) == 2 for r in records.values()):
        caption = (
            "Test accuracy of the two tasks with 95 % intervals; the grey line joins static weights, dotted lines are"
        )
        caption += " single-task runs."
        drawn.append(_figure(f"{problem}-trade-off", figures.trade_off(records), caption, out))
    caption = "Validation accuracy while training, mean of tasks and seeds; bands are 95 % intervals."
    drawn.append(_figure(f"{problem}-learning", figures.learning_curves(groups), caption, out))
    curves = {
        m: [
            significant(float(np.mean([score(r.epochs[e], "val", r.metrics) for r in g])))
            for e in range(len(run.epochs))
        ]
        for m, g in groups.items()
        if family(m) != "single_task"
    }
    out[f"plots/{problem}-learning.csv"] = _csv(pd.DataFrame({"epoch": [e["epoch"] for e in run.epochs], **curves}))
    points = [{"method": m, **{t: r[t]["mean"] for t in r["rules"]["last"]}} for m, r in records.items()]
    out[f"plots/{problem}-trade-off.csv"] = _csv(pd.DataFrame(points))
    return {
        "title": TITLES.get(problem, problem), "sentence": image_sentence(problem, sources.metrics), "figures": drawn,
        "setting": f"Scale {run.scale}, track {run.track}, {len(run.epochs)} epochs. {said}",
        "table": _keep(problem, tables.problem_table(sources.metrics, problem), out),
        "rules": _keep(f"{problem}-selection", tables.rules_table(sources.metrics, problem), out),
    }  # fmt: skip


def _conflict(sources: Sources, images: Sequence[str], out: dict[str, bytes]) -> list[dict[str, Any]]:
    drawn = []
    for problem in images:
        groups = _of(sources.groups, problem)
        if any(studied(m) and run.diagnostics for m, group in groups.items() for run in group):
            caption = f"{TITLES.get(problem, problem)}: distribution over steps and seeds, by third of training."
            drawn.append(_figure(f"{problem}-conflict", figures.conflict(groups), caption, out))
    return drawn


def _conflict_table(groups: Groups, images: Sequence[str]) -> pd.DataFrame:
    names = {
        "conflict_share": "conflicting pairs (share)", "mean_cosine": "mean cosine",
        "magnitude_similarity": "magnitude similarity", "deviation": "|d - mean| / |mean|",
        "worst_alignment": "worst alignment of a task with d",
    }  # fmt: skip
    rows = []
    for problem in images:
        for method, group in _of(groups, problem).items():
            steps = [row for run in group for row in run.diagnostics]
            if steps:
                means = {text: [s[key] for s in steps if s.get(key) is not None] for key, text in names.items()}
                cells = {text: f"{np.mean(values):.3f}" if values else "-" for text, values in means.items()}
                rows.append({"problem": TITLES.get(problem, problem), "method": label(method), **cells})
    return pd.DataFrame(rows, columns=["problem", "method", *names.values()])


def _costs(sources: Sources, images: Sequence[str], out: dict[str, bytes]) -> tuple[dict[str, Any], pd.DataFrame]:
    rows, drawn = [], []
    for name in sorted(sources.costs):
        seeds = list(sources.costs[name]["seeds"].values())
        rows.append({
            "experiment": name, "seeds": len(seeds), "seconds, all seeds": f"{sum(s['seconds'] for s in seeds):.1f}",
            "step (ms)": f"{np.median([s['step_ms'] for s in seeds]):.3f}",
            "backward passes per step": f"{seeds[0]['backward_passes_per_step']:g}",
            "peak memory (MB)": f"{max(s['peak_memory_mb'] for s in seeds):.0f}",
        })  # fmt: skip
    for problem in images:
        timed = {
            m: g[0].experiment for m, g in _of(sources.groups, problem).items() if g[0].experiment in sources.costs
        }
        if timed:
            step = {m: [s["step_ms"] for s in sources.costs[e]["seeds"].values()] for m, e in timed.items()}
            caption = f"{TITLES.get(problem, problem)}: time per training step; dots are seeds."
            drawn.append(_figure(f"{problem}-step-time", figures.step_time(step), caption, out))
            out[f"plots/{problem}-step-time.csv"] = _csv(
                pd.DataFrame([{"method": m, "step_ms": significant(float(np.median(v)))} for m, v in step.items()])
            )
    total = sum(s["seconds"] for c in sources.costs.values() for s in c["seeds"].values())
    sentence = (
        f"All runs together took {total / 60:.1f} minutes of process time on the machine named below; seeds ran side"
    )
    sentence += " by side, so that the wall clock showed less, and a step's time is noisier than on a quiet machine."
    frame = pd.DataFrame(rows)
    return {"sentence": sentence, "figures": drawn, "table": frame}, frame


def _data(sources: Sources, images: Sequence[str]) -> dict[str, Any]:
    rows = [
        {"data set": entry.get("title", key), "licence": entry.get("licence", "-"), "used as": "source pictures"}
        for key, entry in sorted(sources.datasets.items())
    ]
    cards = []
    if images:
        names = ", ".join(TITLES.get(problem, problem) for problem in images)
        cards.append({"title": names, "text": DATA_CARD})
    return {"table": pd.DataFrame(rows, columns=["data set", "licence", "used as"]), "cards": cards}


def _environment(sources: Sources) -> pd.DataFrame:
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for cost in sources.costs.values():
        key = tuple(sorted((k, str(v)) for k, v in cost["environment"].items()))
        seen[key] = seen.get(key, 0) + 1
    return pd.DataFrame([{**dict(key), "experiments": count} for key, count in sorted(seen.items())])


def _what(sources: Sources, images: Sequence[str], toys: Sequence[str]) -> str:
    scales = ", ".join(sorted({g[0].scale for g in sources.groups.values()}))
    seeds = sum(len(g) for g in sources.groups.values())
    methods = len({g[0].method for g in sources.groups.values() if g[0].problem in images})
    pictures = ", ".join(TITLES.get(problem, problem) for problem in images) or "none"
    return (
        f"{len(sources.groups)} experiments ({seeds} runs) at scale {scales}: {methods} methods and settings on "
        f"{len(images)} image problems ({pictures}), and {len(toys)} of the papers' analytic landscapes."
    )


def _facts(sources: Sources, problems: Sequence[str]) -> list[tuple[str, str]]:
    total = sum(s["seconds"] for c in sources.costs.values() for s in c["seeds"].values())
    skipped = sum(run.skipped_steps for group in sources.groups.values() for run in group)
    return [
        (str(len(problems)), "problems"),
        (str(len(sources.groups)), "experiments"),
        (str(sum(len(g) for g in sources.groups.values())), "runs"),
        (f"{total / 60:.1f} min", "process time, all runs"),
        (str(sum(len(p.records) for p in sources.papers)), "published values on record"),
        (str(skipped), "steps skipped (not finite)"),
    ]
