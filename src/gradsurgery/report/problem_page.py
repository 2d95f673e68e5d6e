"""What a page shows of one problem: its setting, every method beside the sum, and what rests on it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.evidence.groups import Groups, of
from gradsurgery.ledger.findings import Finding
from gradsurgery.report import controlled, observatory, tables
from gradsurgery.report.output import Output
from gradsurgery.report.sentences import landscape_sentence
from gradsurgery.report.sources import Sources
from gradsurgery.report.titles import setting, title


def entries(
    sources: Sources, gone: Groups, findings: Mapping[str, Sequence[Finding]],
    papers: Mapping[str, Mapping[str, Any]], out: Output,
) -> list[dict[str, Any]]:  # fmt: skip
    """One entry a problem, in the order of their names; writes the figures and tables that belong to them.

    Args:
        sources: what was run, without the lines that diverged.
        gone: the lines that diverged.
        findings: the judged records, by paper.
        papers: the entries of the papers' pages, whose figures and tables of landscapes are shown here too.
        out: takes the files.
    """
    seen = {entry["key"]: entry for entry in observatory.conflict(sources, out)}
    made = []
    for problem in sources.problems:
        if problem in sources.data:
            entry = controlled.comparison(sources.groups, sources.metrics, sources.contrasts, problem, out, gone)
        else:
            entry = _landscape(sources, problem, papers)
        entry["scales"] = _scales(sources, problem)
        entry["claims"] = _resting(sources.groups, problem, findings, papers)
        made.append({**entry, "conflict": seen.get(problem)})
    for problem, other in sources.elsewhere.items():
        entry = controlled.comparison(other.groups, other.metrics, other.contrasts, problem, out)
        claims = _resting(other.groups, problem, findings, papers)
        made.append({**entry, "scales": [], "claims": claims, "conflict": None})
    return made


def _scales(sources: Sources, problem: str) -> list[tuple[str, str, pd.DataFrame]]:
    """The setting and the table of every other scale at which the problem was run."""
    found = []
    directions = next(iter(of(sources.groups, problem).values()))[0].metrics
    for scale, other in sources.others.items():
        if problem in sources.data and problem in other.problems:
            table = tables.problem_table(other.metrics, problem, directions)
            linked = table.assign(method=table["method"].map(lambda cell, at=scale: cell.at(at)))
            found.append((scale, setting(of(other.groups, problem)), linked))
    return found


def _landscape(sources: Sources, problem: str, papers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A landscape's figures stand in the section of its paper, under its own name."""
    drawn = [f for paper in papers.values() for f in paper["figures"] if f["name"].rpartition("-")[0] == problem]
    return {
        "key": problem, "title": title(problem), "setting": setting(of(sources.groups, problem)),
        "sentence": landscape_sentence(problem, sources.metrics), "first": drawn[:1], "more": drawn[1:],
        "table": tables.landscape_table(sources.metrics, problem), "rules": None, "tasks": None,
    }  # fmt: skip


def _resting(
    groups: Groups, problem: str, findings: Mapping[str, Sequence[Finding]], papers: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, str, Any]]:
    """The claims that runs of the problem answer: key and name of the paper, and the claim."""
    own = {f"{group[0].experiment}.jsonl" for group in of(groups, problem).values()}
    return [
        (key, papers[key]["name"], claim)
        for key in findings
        for claim in papers[key]["claims"]
        if claim.source.rpartition("/")[2] in own
    ]
