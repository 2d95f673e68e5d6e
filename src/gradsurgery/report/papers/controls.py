"""The controls' section: not a paper, but what the papers' mechanisms are held against."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.controls import BASELINE, Repeat
from gradsurgery.evidence.groups import of, problems, studied
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.words import BETTER
from gradsurgery.report import fronts
from gradsurgery.report.format import by_word, first_sentence, gain, shown
from gradsurgery.report.nulls import row, sentence
from gradsurgery.report.section import Drawing, Section, Sheet
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import level_of, source, to_histories
from gradsurgery.report.titles import title

Runs = Mapping[str, Sequence[Run]]

CLAIM = (
    "Xin et al. (2022) and Kurin et al. (2022) say that gradient surgery gains nothing over well-chosen constant "
    "weights; Elich et al. say that gradients of one task on other examples conflict too. The controls ask both: each "
    "method against the front of static weights, PCGrad against placebos that share all but its mechanism, and cosines "
    "against nulls that hold no conflict of tasks."
)
LARGEST = "largest difference of any number in the histories"


def section(sources: Sources) -> Section | None:
    """Every problem that has a front, a placebo, a repeat or a null; None where no problem has any."""
    found, ran, briefs = list[str](), list[str](), list[str]()
    drawings, sheets, floors = list[Drawing](), list[Sheet](), list[pd.DataFrame]()
    for problem in problems(sources.groups):
        runs = of(sources.groups, problem)
        run = next(iter(runs.values()))[0]
        if run.trajectory is not None:
            continue
        made = len(drawings) + len(sheets)
        told = _front(sources, runs, problem, drawings, sheets)
        placebos = _placebos(sources, runs, problem, sheets)
        briefs += [f"{title(problem)}: {first_sentence(text)}" for text in placebos]
        told += [*placebos, *_nulls(sources, runs, problem, sheets)]
        if repeats := sources.measured.repeats.get(problem):
            floors.append(noise_floor(repeats, runs).assign(problem=title(problem)))
        if len(drawings) + len(sheets) == made:
            continue
        ran.append(f"{title(problem)} (scale {run.scale}, selection {sources.metrics[run.experiment]['selection']})")
        found += [f"{title(problem)}: {text}" for text in told]
        _barred(sources, runs, problem, sheets)
    if floors:
        floor = pd.concat(floors, ignore_index=True)
        floor.insert(0, "problem", floor.pop("problem"))
        heading = "Noise floor: one experiment run again on the same seed, and on others"
        sheets.append(Sheet("controls-noise", heading, floor))
        found.append(noise_sentence(floor))
    if not drawings and not sheets:
        return None
    terms = f"Controlled track: {'; '.join(ran)}. Paired by seed; n stands in every row."
    return Section(CLAIM, terms, " ".join(found), drawings, sheets, " ".join(briefs))


def _front(
    sources: Sources, runs: Runs, problem: str, drawings: list[Drawing], sheets: list[Sheet]
) -> list[str]:  # fmt: skip
    if problem in sources.measured.tuned:
        heading = f"{title(problem)}: tuned static weights as row 1"
        sheets.append(Sheet(f"controls-{problem}-tuned", heading, tuned_table(sources, runs, problem)))
    front = sources.measured.fronts.get(problem)
    if front is None:
        return []
    compared = sources.contrasts.of("front", problem)
    caption = (
        f"{title(problem)}: the front of {len(front.weights)} static weights with its 95 % band over {front.seeds} "
        "seeds, and each method against it; right, the distance to the front of the same seed, 95 % intervals."
    )
    drawings.append(Drawing(f"controls-{problem}-front", fronts.figure(front, compared, studied(runs)), caption))
    heading = f"{title(problem)}: methods against the front of static weights"
    sheets.append(Sheet(f"controls-{problem}-front", heading, to_histories(fronts.table(front, compared), runs)))
    return [fronts.sentence(front, compared)]


def tuned_table(sources: Sources, runs: Runs, problem: str) -> pd.DataFrame:
    """Row 1 is tuned static weights; below it every controlled method, and what it has over them."""
    best, compared = sources.measured.tuned[problem], sources.contrasts.of("tuned", problem)
    how = measure(next(iter(next(iter(runs.values()))[0].metrics)))
    column, against = f"{how.name}, mean of tasks{how.of_unit}", f"minus tuned static{how.of_step}"
    share = ", ".join(f"{w:.2f}" for w in best.shares)
    rows: list[dict[str, object]] = [{
        "method": f"static weights, best of {best.count} on validation (first weight by seed: {share})",
        column: how.say(best.level), against: "-", "verdict": "-", "trials": best.count, "n": best.level.n,
    }]  # fmt: skip
    for c in sorted(compared, key=lambda c: -c.gain.mean):
        rows.append({
            "method": source(runs[c.method][0].experiment, label(c.method)),
            column: level_of(sources.metrics, runs[c.method][0], c.metric), against: gain(c),
            "verdict": c.verdict, "trials": 1, "n": c.difference.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _placebos(sources: Sources, runs: Runs, problem: str, sheets: list[Sheet]) -> list[str]:
    compared = sources.contrasts.of("placebos", problem)
    told = placebo_sentence(compared, runs)
    if not told:
        return []
    heading = f"{title(problem)}: {label(compared[0].method)} against placebos"
    sheets.append(Sheet(f"controls-{problem}-placebos", heading, placebo_table(sources, compared, runs)))
    return [told]


def placebo_table(sources: Sources, compared: Sequence[Contrast], runs: Runs) -> pd.DataFrame:
    """One row per placebo and the sum: its level, and what the method has over it."""
    how, name = shown(compared[0]), label(compared[0].method)
    return pd.DataFrame([
        {
            "held against": source(runs[c.minus][0].experiment, label(c.minus)),
            f"its {how.name}, mean of tasks{how.of_unit}": level_of(sources.metrics, runs[c.minus][0], c.metric),
            f"{name} minus it{how.of_step}": gain(c), "verdict": c.verdict, "on": c.budget,
            "n": c.difference.n,
        }
        for c in compared
    ])  # fmt: skip


def placebo_sentence(compared: Sequence[Contrast], runs: Runs) -> str:
    """Whether a method does better than what shares all but its mechanism; only the numbers decide the words."""
    tested = [c for c in compared if runs[c.minus][0].role.kind == "placebo"]
    if not tested:
        return ""
    told, n = by_word(tested, lambda c: label(c.minus)), max(c.difference.n for c in tested)
    text = f"{label(tested[0].method)} against placebos: {told} (n = {n}, exploratory)."
    if any(c.verdict != BETTER for c in tested):
        text += " A placebo that does as well, or cannot be told apart, leaves the mechanism unsupported here."
    for c in compared:
        if runs[c.minus][0].role.base == BASELINE:
            step = f" {shown(c).step}" if shown(c).step else ""
            text += f" Against the sum at {c.budget}: {c.verdict} ({gain(c)}{step})."
    return text


def noise_floor(repeats: Sequence[Repeat], runs: Runs) -> pd.DataFrame:
    """How far one experiment moves when it is run again, with the same seed and with another one."""
    rows = []
    for one in repeats:
        how = measure(next(iter(runs[one.method][0].metrics)))
        unit = how.step or how.name
        rows.append({
            "experiment": source(runs[one.again][0].experiment, label(one.method)),
            "repeated with the same seed": one.seeds, LARGEST: f"{np.inf if one.largest is None else one.largest:g}",
            "sd over other seeds, mean of tasks": "-" if one.spread.sd is None
            else f"{how.plain(one.spread.sd)} {unit}".rstrip(), "n (seeds)": one.spread.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def noise_sentence(floor: pd.DataFrame) -> str:
    """How many of the repeats in a `noise_floor` gave the very same numbers."""
    same = int((floor[LARGEST] == "0").sum())
    text = f"Run again on the same seed, {same} of {len(floor)} experiments gave the same history to the last digit"
    if same < len(floor):
        text += f"; the largest difference of any number elsewhere is {max(map(float, floor[LARGEST])):g}"
    return f"{text}; what a difference between methods has to stand out from is the spread over seeds."


def _nulls(sources: Sources, runs: Runs, problem: str, sheets: list[Sheet]) -> list[str]:
    if found := sources.measured.nulls.get(problem):
        frame = pd.DataFrame([row(one, runs[one.method]) for one in found])
        sheets.append(Sheet(f"controls-{problem}-nulls", f"{title(problem)}: cosines beside their nulls", frame))
    gap = sources.measured.half_batches.get(problem)
    return [sentence(gap)] if gap else []


def _barred(sources: Sources, runs: Runs, problem: str, sheets: list[Sheet]) -> None:
    """Controlled lines that break the contract, and so may not stand in the controlled table, with the reasons."""
    rows = [
        {"method": source(group[0].experiment, label(m)), "why": "; ".join(why)}
        for m, group in runs.items() if (why := sources.metrics[group[0].experiment].get("excluded"))
    ]  # fmt: skip
    if rows:
        heading = f"{title(problem)}: kept out of the controlled table"
        sheets.append(Sheet(f"controls-{problem}-barred", heading, pd.DataFrame(rows)))
