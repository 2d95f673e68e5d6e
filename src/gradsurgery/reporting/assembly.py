"""Puts the report together: histories, metrics, costs and published records in; named files out. No paths, no clock."""

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd

from gradsurgery.evidence.diverged import split
from gradsurgery.evidence.groups import Groups, Metrics, landscape, of, problems
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import significant
from gradsurgery.evidence.study import Trial
from gradsurgery.ledger.judging import Finding, is_cell, paper_sentence, published_value
from gradsurgery.ledger.records import Paper, Record
from gradsurgery.report import controlled, deviations, diverged, landscapes, observatory, papers, verdicts
from gradsurgery.report.sentences import image_sentence, landscape_sentence
from gradsurgery.report.tables import Linked, source
from gradsurgery.report.titles import title
from gradsurgery.reporting import cards, costing
from gradsurgery.reporting.output import Output
from gradsurgery.reporting.page import render
from gradsurgery.reporting.readme import findings_table
from gradsurgery.reporting.section import Evidence, Section
from gradsurgery.reporting.style import NAMES, SECTIONS, png

NOT_RERUN = "committed, not rerun on this machine"


@dataclasses.dataclass(frozen=True)
class Sources:
    """Everything that the report is made from.

    Attributes:
        groups, metrics, costs: by experiment.
        papers: the published records.
        datasets, declared: `datasets` and `problems` of params.yaml.
        studies: the trials of `make study`, by problem.
        skipped: the problems whose committed runs stand here because this machine had no data to rerun them.
    """

    groups: Groups
    metrics: Metrics
    costs: Mapping[str, Mapping[str, Any]]
    papers: Sequence[Paper]
    datasets: Mapping[str, Mapping[str, Any]]
    declared: Mapping[str, Mapping[str, Any]]
    studies: Mapping[str, Sequence[Trial]] = dataclasses.field(default_factory=dict)
    skipped: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """The finished files by their name under `reports/`, and the headline findings for the README."""

    files: Mapping[str, bytes]
    headlines: Sequence[Finding]


def assemble(sources: Sources, pool: Executor | None = None) -> Report:
    """All figures, tables, plots and the page. The same sources give the same bytes, whoever draws (see `Output`).

    Lines that diverged are taken out first, so that nothing below meets a number that is none, and shown apart.
    """
    whole, gone = split(sources.groups)
    sources = dataclasses.replace(sources, groups=whole, metrics={n: sources.metrics[n] for n in whole})
    everything = problems(sources.groups)
    toys = [p for p in everything if landscape(sources.groups, p)]
    data = [p for p in everything if p not in toys]
    out = Output(pool)
    findings = verdicts.find(sources.papers, sources.groups, sources.metrics, gone)
    if sources.skipped:
        findings = {key: [_marked(f, sources) for f in group] for key, group in findings.items()}
    headlines = [f for group in findings.values() for f in group if f.record.headline]
    known = {paper.key: paper for paper in sources.papers}
    made = sections(Evidence(sources.groups, sources.metrics, sources.costs, known, sources.studies))
    for problem in toys:
        out.plot(problem, _trajectories({m: g[0] for m, g in of(sources.groups, problem).items()}))
    entries = [
        _paper(key, known.get(key), findings.get(key, []), made.get(key), sources.groups, out)
        for key in dict.fromkeys([*known, *made])
    ]
    context = {
        "summary": {
            "what": _what(sources, data, toys),
            "facts": _facts(sources, everything, gone),
            "table": _summary(headlines, entries, made),
            "counts": out.table("verdict-counts", verdicts.counts(findings)),
            "problems": _sentences(sources, data, toys),
            "diverged": out.table("diverged", diverged.table(gone)) if gone else None,
        },
        "papers": entries,
        "problems": [controlled.comparison(whole, sources.metrics, problem, out, gone) for problem in data],
        "conflict": observatory.conflict(sources.groups, data, out),
        "conflict_table": out.table("conflict", observatory.table(sources.groups, data)),
        "conflict_sheets": observatory.sheets(sources.groups, data, out),
        "costs": costing.costs(sources.groups, sources.costs, data, out),
        "data": cards.data(sources.groups, data, sources.datasets, sources.declared),
        "deviations": out.table("deviations", deviations.deviations(sources.groups, sources.metrics, data)),
        "environment": costing.environment(sources.costs),
        "skipped": [title(problem) for problem in everything if problem in sources.skipped],
        "not_rerun": NOT_RERUN,
    }
    out.table("published-vs-ours", findings_table(headlines))
    out.files["verdict.json"] = (
        json.dumps(verdicts.verdicts(findings), indent=1, sort_keys=True, allow_nan=False) + "\n"
    ).encode()
    if "cagrad_toy" in toys:
        runs = {m: g[0] for m, g in of(sources.groups, "cagrad_toy").items()}
        out.files["figures/readme.png"] = png(landscapes.overview(runs))
    out.files["index.html"] = render(context).encode()
    return Report(out.finish(), headlines)


def sections(evidence: Evidence) -> dict[str, Section]:
    """The section of every paper that has evidence, by key: one module a paper, found by file name."""
    made = {}
    for module in sorted(pkgutil.iter_modules(papers.__path__), key=lambda m: m.name):
        section = importlib.import_module(f"{papers.__name__}.{module.name}").section(evidence)
        if section is not None:
            made[module.name] = section
    return made


def _paper(
    key: str, paper: Paper | None, found: Sequence[Finding], section: Section | None, groups: Groups, out: Output
) -> dict[str, Any]:
    claims = [f for f in found if f.record.answered_by and not is_cell(f.record)]
    answered = verdicts.table(found)
    return {
        "key": key, "name": SECTIONS.get(key, NAMES.get(key, key)), "paper": paper,
        "sentence": paper_sentence(found) if found else "", "section": section,
        "figures": [out.drawing(drawing) for drawing in section.drawings] if section else [],
        "sheets": [out.sheet(sheet) for sheet in section.sheets] if section else [],
        "claims": out.table(f"{key}-claims", _claims(claims, groups)) if claims else None,
        "answered": out.table(f"{key}-ledger", answered) if len(answered) else None,
        "doubts": list(dict.fromkeys(_doubt(f.record) for f in found if f.record.doubtful)),
        "ledger": _ledger(paper, found) if paper else "",
    }  # fmt: skip


def _marked(finding: Finding, sources: Sources) -> Finding:
    """A finding that rests on a problem that was not rerun here says so where it says its scale."""
    answer = finding.record.answered_by
    names = [name for name in (answer.experiment, answer.minus) if name in sources.groups] if answer else []
    if any(sources.groups[name][0].problem in sources.skipped for name in names if name):
        return dataclasses.replace(finding, where=f"{finding.where}, {NOT_RERUN}")
    return finding


def _doubt(record: Record) -> str:
    """A doubt that a whole table shares is told once for the table, without its rows."""
    return f"{record.cell.split(', row ')[0]}: {record.doubtful}"


def _claims(claims: Sequence[Finding], groups: Groups) -> pd.DataFrame:
    links = pd.Series([_history(f.record, groups) for f in claims], dtype=object)
    return findings_table(claims).drop(columns="paper").assign(history=links)


def _history(record: Record, groups: Groups) -> Linked | str:
    answer = record.answered_by
    return source(answer.experiment) if answer and answer.experiment in groups else "-"


def _ledger(paper: Paper, found: Sequence[Finding]) -> str:
    reasons = "; ".join(f"{reason} ({count})" for reason, count in verdicts.reasons(found).items())
    checked = sum(len(table.recomputed()) for table in paper.tables)
    flaws = sum(len(table.flaws()) + len(table.column_flaws()) for table in paper.tables)
    text = f"{len(found)} published values of this paper are on record."
    text += f" Not run: {reasons}." if reasons else ""
    if checked:
        text += f" Delta-m was recomputed for {checked} printed rows; {flaws} rows or columns contradict themselves."
    return text


def _summary(
    headlines: Sequence[Finding], entries: Sequence[Mapping[str, Any]], made: Mapping[str, Section]
) -> pd.DataFrame:
    """Paper, claim, verdict, and our evidence in one line; a paper without a headline claim gives its sentence."""
    rows = []
    for entry in entries:
        paper = Linked(entry["name"], f"#{entry['key']}")
        own = [f for f in headlines if f.record.paper == entry["key"]]
        for f in own:
            evidence = f"{f.record.metric}: {f.ours} (published {published_value(f.record)}; {f.where})"
            if f.ours == "-":
                evidence = "-"
            answer = f.record.answered_by if f.ours != "-" else None
            target = source(answer.experiment, evidence) if answer else evidence
            rows.append({"paper": paper, "claim": f.record.statement, "verdict": f.verdict, "our evidence": target})
        if not own and entry["key"] in made:
            section = made[entry["key"]]
            rows.append(
                {"paper": paper, "claim": section.claim, "verdict": "-", "our evidence": section.brief or section.found}
            )
    return pd.DataFrame(rows, columns=["paper", "claim", "verdict", "our evidence"])


def _sentences(sources: Sources, data: Sequence[str], toys: Sequence[str]) -> list[dict[str, str]]:
    return [{"title": title(p), "target": f"problem-{p}", "text": image_sentence(p, sources.metrics)} for p in data] + [
        {"title": title(p), "target": "", "text": landscape_sentence(p, sources.metrics)} for p in toys
    ]


def _trajectories(runs: Mapping[str, Run]) -> pd.DataFrame:
    columns = {}
    for method, run in runs.items():
        trajectory = run.trajectory or {"steps": [], "losses": []}
        means = [significant(float(np.mean(row))) for row in trajectory["losses"]]
        columns[method] = pd.Series(means, index=trajectory["steps"])
    return pd.DataFrame(columns).rename_axis("step").reset_index()


def _what(sources: Sources, data: Sequence[str], toys: Sequence[str]) -> str:
    scales = ", ".join(sorted({g[0].scale for g in sources.groups.values()}))
    seeds = sum(len(g) for g in sources.groups.values())
    methods = len({g[0].method for g in sources.groups.values() if g[0].problem in data})
    names = ", ".join(title(problem) for problem in data) or "none"
    return (
        f"{len(sources.groups)} experiments ({seeds} runs) at scale {scales}: {methods} methods and settings on "
        f"{len(data)} problems with data ({names}), and {len(toys)} of the papers' analytic landscapes."
    )


def _facts(sources: Sources, everything: Sequence[str], gone: Groups) -> list[tuple[str, str]]:
    total = sum(s["seconds"] for c in sources.costs.values() for s in c["seeds"].values())
    skipped = sum(run.skipped_steps for group in sources.groups.values() for run in group)
    return [
        (str(len(everything)), "problems"),
        (str(len(sources.groups)), "experiments"),
        (str(sum(len(g) for g in sources.groups.values())), "runs"),
        (f"{total / 60:.1f} min", "process time, all runs"),
        (str(sum(len(p.records) for p in sources.papers)), "published values on record"),
        (str(skipped), "steps skipped (not finite)"),
        *([(str(len(gone)), "experiments diverged")] if gone else []),
    ]
