"""The controls' section: not a paper, but what the papers' mechanisms are held against."""

from collections.abc import Mapping, Sequence

import pandas as pd

from gradsurgery.evidence.groups import of, problems
from gradsurgery.evidence.history import Run
from gradsurgery.report import controls, fronts
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.tables import to_histories
from gradsurgery.report.titles import title

Runs = Mapping[str, Sequence[Run]]

CLAIM = (
    "Xin et al. (2022) and Kurin et al. (2022) say that gradient surgery gains nothing over well-chosen constant "
    "weights; Elich et al. say that gradients of one task on other examples conflict too. The controls ask both: each "
    "method against the front of static weights, PCGrad against placebos that share all but its mechanism, and cosines "
    "against nulls that hold no conflict of tasks."
)


def section(evidence: Evidence) -> Section | None:
    """Every problem that has a front, a placebo, a repeat or a null; None where no problem has any."""
    found: list[str] = []
    ran: list[str] = []
    drawings: list[Drawing] = []
    sheets: list[Sheet] = []
    floors: list[pd.DataFrame] = []
    briefs: list[str] = []
    for problem in problems(evidence.groups):
        runs = of(evidence.groups, problem)
        if next(iter(runs.values()))[0].trajectory is not None:
            continue
        made = len(drawings) + len(sheets)
        rule = next(r["selection"] for r in evidence.metrics.values() if r["problem"] == problem)
        told = _front(runs, rule, problem, drawings, sheets)
        placebos = _placebos(runs, rule, problem, sheets)
        briefs += [f"{title(problem)}: {text.split('. ')[0].rstrip('.')}." for text in placebos]
        told += [*placebos, *_nulls(runs, problem, sheets)]
        if len(floor := controls.noise_floor(runs, rule)):
            floors.append(floor.assign(problem=title(problem)))
        if len(drawings) + len(sheets) == made:
            continue
        run = next(iter(runs.values()))[0]
        ran.append(f"{title(problem)} (scale {run.scale}, selection {rule})")
        found += [f"{title(problem)}: {text}" for text in told]
        _contract(runs, rule, problem, sheets)
    if floors:
        floor = pd.concat(floors, ignore_index=True)
        floor.insert(0, "problem", floor.pop("problem"))
        sheets.append(
            Sheet("controls-noise", "Noise floor: one experiment run again on the same seed, and on others", floor)
        )
        found.append(controls.noise_sentence(floor))
    if not drawings and not sheets:
        return None
    return Section(
        CLAIM,
        f"Controlled track: {'; '.join(ran)}. Paired by seed; n stands in every row.",
        " ".join(found),
        drawings,
        sheets,
        " ".join(briefs),
    )


def _front(runs: Runs, rule: str, problem: str, drawings: list[Drawing], sheets: list[Sheet]) -> list[str]:
    tuned = controls.tuned_table(runs, rule)
    if len(tuned):
        sheets.append(Sheet(f"controls-{problem}-tuned", f"{title(problem)}: tuned static weights as row 1", tuned))
    front = fronts.front(runs, rule)
    if front is None:
        return []
    caption = (
        f"{title(problem)}: the front of {len(front.weights)} static weights with its 95 % band over "
        f"{len(front.seeds)} seeds, and each method against it; right, the distance to the front of the same seed, "
        "95 % intervals."
    )
    drawings.append(Drawing(f"controls-{problem}-front", fronts.figure(front), caption))
    heading = f"{title(problem)}: methods against the front of static weights"
    sheets.append(Sheet(f"controls-{problem}-front", heading, to_histories(fronts.table(front), runs)))
    noise = controls.noise_of(runs, [*front.weights, *front.others], rule)
    return [fronts.sentence(front, noise)]


def _placebos(runs: Runs, rule: str, problem: str, sheets: list[Sheet]) -> list[str]:
    told = controls.placebo_sentence(runs, rule)
    if not told:
        return []
    heading = f"{title(problem)}: PCGrad against placebos"
    sheets.append(Sheet(f"controls-{problem}-placebos", heading, controls.placebo_table(runs, rule)))
    return [told]


def _nulls(runs: Runs, problem: str, sheets: list[Sheet]) -> list[str]:
    nulls = controls.nulls(runs)
    if len(nulls):
        sheets.append(Sheet(f"controls-{problem}-nulls", f"{title(problem)}: cosines beside their nulls", nulls))
    told = controls.null_sentence(runs)
    return [told] if told else []


def _contract(runs: Runs, rule: str, problem: str, sheets: list[Sheet]) -> None:
    barred = controls.barred(runs, rule)
    if len(barred):
        heading = f"{title(problem)}: kept out of the controlled table"
        sheets.append(Sheet(f"controls-{problem}-barred", heading, barred))
