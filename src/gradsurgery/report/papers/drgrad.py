"""DRGrad's section: the Census-Income table beside the published one, where the updater goes, and made-up tasks."""

from collections.abc import Mapping, Sequence

import numpy as np

from gradsurgery.evidence.history import Run
from gradsurgery.report.format import by_word
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet, declared
from gradsurgery.report.tabular import figures, tables
from gradsurgery.report.tabular.standing import BASE, UNIT, Standing, gain, is_classical, name, say, standing, task


def section(evidence: Evidence) -> Section | None:
    """What became of the claim; None where neither Census-Income nor a made-up table was run."""
    census = standing(evidence, "census")
    made_up = _made_up(evidence)
    if census is None and not made_up:
        return None
    drawings, sheets, found = list[Drawing](), list[Sheet](), list[str]()
    if census is not None:
        caption = (
            "Left: exact test AUC of income with 95 % intervals over seeds; open diamonds are the published values. "
            "Right: difference of the networks from MMoE, paired by seed; classical models lie too far out to be drawn."
        )
        drawings.append(Drawing("drgrad-census", figures.census(census), caption))
        sheets.append(
            Sheet("drgrad-census", "Census-Income: our AUCs and the published", tables.census(evidence, census))
        )
        found.append(census_sentence(census))
        if routed := _routed(census):
            caption = "What the router sees and the updater does on Census-Income; a line is one seed."
            drawings.append(Drawing("drgrad-router", figures.router(routed), caption))
            sheets.append(Sheet("drgrad-router", "Router and updater on Census-Income", tables.router(routed)))
            found.append(router_sentence(routed))
    if made_up:
        caption = "First task's test AUC where the two labels have that correlation, with 95 % intervals over seeds."
        drawings.append(Drawing("drgrad-made-up", figures.made_up(made_up), caption))
        sheets.append(Sheet("drgrad-made-up", "Made-up tasks", tables.made_up(made_up)))
        found.append(made_up_sentence(made_up))
    shown = [s for s in (census, *made_up) if s is not None]
    return Section(declared(evidence, "drgrad").claim, _ran(shown), " ".join(found), drawings, sheets)


def census_sentence(found: Standing) -> str:
    """Every network against MMoE, DRGrad's own difference beside the published, and models without sharing."""
    parts = []
    for metric in found.metrics:
        networks = [c for m, c in found.compared[metric].items() if not is_classical(found.lines[m])]
        said = by_word(networks, lambda c: name(c.method))
        parts.append(f"On {task(metric)} against MMoE (n = {len(found.lines[BASE])}, exploratory): {said}")
    first = found.metrics[0]
    for method in ("drgrad-printed", "drgrad-matched"):
        if method in found.compared[first]:
            text = f"{name(method)}, less MMoE on {task(first)}: {gain(found.compared[first][method])}"
            theirs, base = found.theirs(method, first), found.theirs(BASE, first)
            if theirs is not None and base is not None:
                text += f", published {(theirs - base) / UNIT:+.0f}"
            parts.append(text)
    floors = [m for m in found.levels[first] if is_classical(found.lines[m])]
    if floors:
        said = ", ".join(f"{name(m)} {say(found.levels[first][m])}" for m in floors)
        parts.append(f"Models that share nothing: {said}; MMoE {say(found.levels[first][BASE])}")
    return ". ".join(parts) + "."


def router_sentence(routed: Mapping[str, Sequence[Run]]) -> str:
    """Where the updater's weight went, and whether that took the lent tower out of the network."""
    parts = []
    for method, runs in routed.items():
        early, late = (float(np.mean(tables.at(runs, "mu", step))) for step in (21, None))
        parts.append(f"{name(method)} {early:.3f} at step 21, {late:.3f} at the end")
    gone = [name(method) for method, runs in routed.items() if min(tables.at(runs, "mu", None)) > 0.99]
    text = f"Weight of the primary task's own tower (it starts at 0.5): {'; '.join(parts)}."
    if not gone:
        return text
    return f"{text} Near 1 the lent tower no longer counts, and the network predicts as an MMoE: {', '.join(gone)}."


def made_up_sentence(standings: Sequence[Standing]) -> str:
    """Which lines are told from MMoE on which table."""
    all_of = [c for found in standings for own in found.compared.values() for c in own.values()]
    told = by_word(all_of, lambda c: f"{name(c.method)} on {c.problem.replace('_', ' ')}, {task(c.metric)} task")
    text = f"Made-up tasks against MMoE, exploratory: {told}."
    return " ".join([text, *_conflict_sentence(standings), *_ppnet_sentence(standings)])


def _conflict_sentence(standings: Sequence[Standing]) -> list[str]:
    """MMoE where the second label is the first, and where it is its negation."""
    sides = {s.problem.removeprefix("drgrad_synthetic_"): s for s in standings}
    if not {"cooperate", "conflict"} <= set(sides):
        return []
    parts = []
    for word in ("cooperate", "conflict"):
        metric = sides[word].metrics[0]
        theirs = sides[word].theirs(BASE, metric)
        printed = "" if theirs is None else f", published {theirs:.4f}"
        parts.append(f"{say(sides[word].levels[metric][BASE])} where the tasks {word}{printed}")
    return [f"MMoE's AUC on the first task of DRGrad's own table: {'; '.join(parts)}."]


def _ppnet_sentence(standings: Sequence[Standing]) -> list[str]:
    """The same network without and with the gate that reads who the user is."""
    for found in standings:
        if {"split", "split-ppnet"} <= set(found.lines):
            pairs = [(found.levels[m]["split"], found.levels[m]["split-ppnet"]) for m in found.metrics]
            said = "; ".join(f"{say(without)} and {say(gated)}" for without, gated in pairs)
            where = found.problem.replace("_", " ")
            return [f"Split-MMoE without and with PPNet on {where} (our own table), task by task: {said}."]
    return []


def _made_up(evidence: Evidence) -> list[Standing]:
    """The made-up tables that MMoE was run on, in the order of their labels' correlation."""
    tables_run = {r[0].problem for r in evidence.groups.values() if r[0].declaration.get("module") == "synthetic"}
    found = [s for s in (standing(evidence, problem) for problem in sorted(tables_run)) if s is not None]
    return sorted(found, key=lambda s: (s.problem.split("_")[0], s.correlation))


def _routed(found: Standing) -> dict[str, Sequence[Run]]:
    return {m: runs for m, runs in found.lines.items() if any("rule.mu" in row for row in runs[0].diagnostics)}


def _ran(standings: Sequence[Standing]) -> str:
    parts = []
    for found in standings:
        run = found.lines[BASE][0]
        parts.append(
            f"{found.problem.replace('_', ' ')} ({len(found.lines)} lines, n = {len(found.lines[BASE])}, "
            f"{len(run.epochs)} epochs, batches of {run.declaration['settings'].get('batch_size', '-')})"
        )
    first = standings[0].lines[BASE][0]
    return (
        f"Scale {first.scale}, track {first.track}: {'; '.join(parts)}. The networks of a table have the same number "
        "of parameters but for a unit of width (PPNet adds its gate); seeds share one split and one test set."
    )
