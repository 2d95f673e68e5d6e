"""Puts the site together: histories, metrics, costs and published records in; named files out. No paths, no clock."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from gradsurgery.evidence.diverged import split
from gradsurgery.evidence.groups import Groups, of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import significant
from gradsurgery.ledger.findings import Finding
from gradsurgery.report import (
    cards,
    costing,
    declared,
    deviations,
    diverged,
    landscapes,
    methods,
    numbers,
    observatory,
    paper_page,
    papers,
    problem_page,
    registered,
    verdicts,
)
from gradsurgery.report.output import Output
from gradsurgery.report.page import render, static
from gradsurgery.report.readme import findings_table
from gradsurgery.report.section import Section
from gradsurgery.report.sources import Report, Sources
from gradsurgery.report.style import NAMES, SECTIONS, label, png
from gradsurgery.report.titles import title

NOT_RERUN = "committed, not rerun on this machine"
STATIC = ("site.css", "site.js")


def assemble(sources: Sources, pool: Executor | None = None) -> Report:
    """All figures, tables, plots and pages. The same sources give the same bytes, whoever draws (see `Output`).

    Lines that diverged are taken out first, so that nothing below meets a number that is none, and shown apart.
    """
    whole, gone = split(sources.groups)
    sources = dataclasses.replace(sources, groups=whole, metrics={n: sources.metrics[n] for n in whole})
    out = Output(pool)
    findings = {key: [_marked(f, sources) for f in group] for key, group in sources.findings.items()}
    headlines = [f for group in findings.values() for f in group if f.record.headline]
    known = {paper.key: paper for paper in sources.papers}
    made = sections(sources)
    entries = {
        key: paper_page.entry(key, known.get(key), findings.get(key, []), made.get(key), sources, out)
        for key in dict.fromkeys([*known, *made])
    }
    problems = problem_page.entries(sources, gone, findings, entries, out)
    dialled = sources.measured.doses
    site: dict[str, Any] = {
        "papers": [(key, entry["name"]) for key, entry in entries.items() if key not in SECTIONS],
        "problems": [(p, title(p)) for p in sorted((*sources.problems, *sources.elsewhere)) if p not in dialled],
        "dialled": [(problem, title(problem)) for problem in sources.problems if problem in dialled],
        "skipped": [title(problem) for problem in sources.problems if problem in sources.skipped],
        "not_rerun": NOT_RERUN,
        "scale": ", ".join(sorted({group[0].scale for group in whole.values()})),
        "places": sources.places,
    }
    single = {
        "index": _index(sources, findings, gone), "conflict": _conflict(sources, problems, out),
        "controls": {"sections": [entries[key] for key in SECTIONS if key in entries]},
        "costs": costing.costs(sources, out), "methods": {"kinds": methods.kinds(sources)},
        "data": cards.data(sources), "protocol": _protocol(sources, findings, gone, out),
    }  # fmt: skip
    pages = {f"papers/{key}.html": ("paper.html", entries[key]) for key, _ in site["papers"]}
    pages |= {f"problems/{entry['key']}.html": ("problem.html", entry) for entry in problems}
    pages |= {f"{name}.html": (f"{name}.html", entry) for name, entry in single.items()}
    for problem in sources.landscapes:
        out.plot(problem, _trajectories({m: g[0] for m, g in of(sources.groups, problem).items()}))
    out.table("published-vs-ours", findings_table(headlines))
    if "cagrad_toy" in sources.landscapes:
        runs = {m: g[0] for m, g in of(sources.groups, "cagrad_toy").items()}
        out.files["figures/readme.png"] = png(landscapes.overview(runs))
    for name, (template, entry) in pages.items():
        context = {"site": site, "here": name, "root": "../" * name.count("/"), "entry": entry}
        out.files[name] = render(template, context).encode()
    out.files.update({name: static(name) for name in STATIC})
    return Report(out.finish(), headlines)


def sections(sources: Sources) -> dict[str, Section]:
    """The section of every paper that has evidence, by key: as it declares it, or by a module found by file name."""
    made = {
        paper.key: section
        for paper in sources.papers
        if paper.section is not None and (section := declared.section(paper.key, paper.section, sources)) is not None
    }
    for module in sorted(pkgutil.iter_modules(papers.__path__), key=lambda m: m.name):
        section = importlib.import_module(f"{papers.__name__}.{module.name}").section(sources)
        if section is not None:
            made[module.name] = section
    return made


def _index(sources: Sources, findings: Mapping[str, Sequence[Finding]], gone: Groups) -> dict[str, Any]:
    rows = numbers.by_paper(findings, sources)
    shown = [claim for row in rows.values() for claim in row]
    return {
        "rows": [(key, NAMES.get(key, key), row) for key, row in rows.items()],
        "claims": [
            (kind, numbers.words([c for c in shown if (c.control, c.landscape) == which]))
            for kind, which in (
                ("claims on the papers’ landscapes", (False, True)), ("claims on data", (False, False)),
                ("controls of ours", (True, False)), ("controls on landscapes", (True, True)),
            )
        ],
        "run": costing.totals(sources), "diverged": len(gone),
    }  # fmt: skip


def _conflict(sources: Sources, problems: Sequence[Mapping[str, Any]], out: Output) -> dict[str, Any]:
    return {
        "table": out.table("conflict", observatory.table(sources)),
        "sheets": observatory.sheets(sources, out),
        "problems": [e for e in problems if e["conflict"] and e["key"] not in sources.measured.doses],
    }


def _protocol(
    sources: Sources, findings: Mapping[str, Sequence[Finding]], gone: Groups, out: Output
) -> dict[str, Any]:  # fmt: skip
    departures = deviations.deviations(sources.groups, sources.metrics, sources.data)
    return {
        "deviations": out.table("deviations", departures),
        "registered": registered.page(sources.protocol, sources.there, sources.changed),
        "counts": out.table("verdict-counts", verdicts.counts(findings)),
        "diverged": out.table("diverged", diverged.table(gone)) if gone else None,
    }


def _marked(finding: Finding, sources: Sources) -> Finding:
    """A finding that rests on a problem that was not rerun here says so where it says its scale."""
    answer = finding.record.answered_by
    names = [name for name in (answer.experiment, answer.minus) if name in sources.groups] if answer else []
    if any(sources.groups[name][0].problem in sources.skipped for name in names if name):
        return dataclasses.replace(finding, where=f"{finding.where}, {NOT_RERUN}")
    return finding


def _trajectories(runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    return [
        {"step": step, "method": label(method), "loss": significant(float(np.mean(row)))}
        for method, run in runs.items() if run.trajectory
        for step, row in zip(run.trajectory["steps"], run.trajectory["losses"], strict=True)
    ]  # fmt: skip
