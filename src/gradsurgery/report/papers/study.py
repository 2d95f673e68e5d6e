"""The studies' section: what is left of the methods when the plain baselines were tuned as often."""

from collections.abc import Mapping, Sequence

import pandas as pd

from gradsurgery.evidence.contract import TRACK, watching
from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.study import STATIC, Trial, searched
from gradsurgery.report import fronts, study_fronts, study_tables
from gradsurgery.report.controls import noise_of
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.study_figures import best_of_n
from gradsurgery.report.style import family
from gradsurgery.report.tables import to_histories, trials_of
from gradsurgery.report.titles import title

CLAIM = (
    "Kurin et al. (2022) and Xin et al. (2022) say that surgery looks better than constant weights only because the "
    "plain baselines were tuned less. Here every method gets as many random trials as every other, chosen on "
    "validation and judged on fresh seeds; and static weights trace their front."
)


def section(evidence: Evidence) -> Section | None:
    """Every problem that was studied; None where none was. They have kept their own terms (`evidence.study.check`)."""
    ran: list[str] = []
    found: list[str] = []
    briefs: list[str] = []
    drawings: list[Drawing] = []
    sheets: list[Sheet] = []
    for problem in sorted(evidence.studies):
        trials = evidence.studies[problem]
        rule = next((r["selection"] for r in evidence.metrics.values() if r["problem"] == problem), "best-val")
        told = _search(problem, trials, rule, drawings, sheets)
        told += _front(problem, trials, of(evidence.groups, problem), rule, drawings, sheets)
        found += [f"{title(problem)}: {text}" for text in told]
        briefs.append(f"{title(problem)}: {told[0].split('. ')[0].rstrip('.')}.")
        ran.append(_ran(problem, trials, rule))
    if not ran:
        return None
    return Section(CLAIM, f"Controlled track: {'; '.join(ran)}.", " ".join(found), drawings, sheets, " ".join(briefs))


def _ran(problem: str, trials: Sequence[Trial], rule: str) -> str:
    tried = searched(trials)
    parts = [f"scale {trials[0].scale}", f"selection {rule}"]
    if tried:
        own = next(iter(tried.values()))
        fresh = sorted({t.seed for t in trials if t.kind == "winner"})
        parts.append(f"{len(tried)} methods with {len(own)} trials each on seed {own[0].seed}")
        parts.append(f"winners on seeds {', '.join(map(str, fresh))}")
    if weights := _weighted(trials):
        parts.append(f"{len(weights)} static weightings on {max(map(len, weights.values()))} seeds")
    failed = sum(t.run is None for t in trials)
    return f"{title(problem)} ({', '.join(parts)}; {len(trials)} runs, {failed} failed)"


def _search(
    problem: str, trials: Sequence[Trial], rule: str, drawings: list[Drawing], sheets: list[Sheet]
) -> list[str]:
    tried = searched(trials)
    if not tried:
        return []
    count = len(next(iter(tried.values())))
    caption = (
        f"{title(problem)}: left, the best validation to be expected of n random trials of a method, drawn from its "
        f"{count}; right, the test metric of every method's best trial on fresh seeds minus that of tuned static "
        "weights, paired by seed, 95 % intervals."
    )
    drawings.append(Drawing(f"study-{problem}-search", best_of_n(trials, rule), caption))
    heading = f"{title(problem)}: {count} random trials for every method"
    sheets.append(Sheet(f"study-{problem}-search", heading, _linked(study_tables.table(trials, rule), problem)))
    heading = f"{title(problem)}: expected best validation, 95 % bootstrap intervals over the trials"
    sheets.append(
        Sheet(f"study-{problem}-best-of-n", heading, _linked(study_tables.curve_table(trials, rule), problem))
    )
    return [study_tables.sentence(trials, rule), study_tables.order_sentence(trials, rule)]


def _front(
    problem: str, trials: Sequence[Trial], runs: Mapping[str, Sequence[Run]], rule: str, drawings: list[Drawing],
    sheets: list[Sheet],
) -> list[str]:  # fmt: skip
    weighted = _weighted(trials)
    if not weighted:
        return []
    others = _comparable(runs, next(iter(weighted.values()))[0])
    if not others:
        return ["no line of the table ran on the terms of the front of static weights."]
    count, tasks = len(weighted), len(next(iter(weighted.values()))[0].metrics)
    name, heading = f"study-{problem}-front", f"{title(problem)}: methods against the front of static weights"
    if tasks == 2:
        line = fronts.front({**others, **weighted}, rule)
        if line is None:
            return []
        caption = (
            f"{title(problem)}: the front of {count} static weights with its 95 % band over {len(line.seeds)} seeds, "
            "and each method of the table against it; right, the distance to the front of the same seed."
        )
        drawings.append(Drawing(name, fronts.figure(line), caption))
        sheets.append(Sheet(name, heading, to_histories(fronts.table(line), others)))
        noise = noise_of({**others, **weighted}, [*line.weights, *line.others], rule)
        return [f"against the front of static weights: {fronts.sentence(line, noise)}"]
    cloud = study_fronts.cloud(weighted, others, rule)
    if cloud is None:
        return []
    caption = (
        f"{title(problem)}: {count} static weights (grey, means over {len(cloud.seeds)} seeds) and each method of the "
        "table, two tasks at a time, 95 % intervals."
    )
    drawings.append(Drawing(name, study_fronts.figure(cloud), caption))
    sheets.append(Sheet(name, heading, to_histories(study_fronts.table(cloud), others)))
    return [study_fronts.sentence(cloud)]


def _linked(frame: pd.DataFrame, problem: str) -> pd.DataFrame:
    links = [trials_of(problem, text) for text in frame["method"]]
    return frame.assign(method=pd.Series(links, index=frame.index, dtype=object))


def _weighted(trials: Sequence[Trial]) -> dict[str, list[Run]]:
    """The front's runs; a weighting that failed on some seed is left out, as it has no point there."""
    names = sorted({t.method for t in trials if t.kind == "front"})
    groups = {name: [t.run for t in trials if t.kind == "front" and t.method == name] for name in names}
    return {name: [r for r in group if r is not None] for name, group in groups.items() if None not in group}


def _comparable(runs: Mapping[str, Sequence[Run]], like: Run) -> dict[str, Sequence[Run]]:
    """Controlled lines of the table that ran on the front's terms and answer for every task."""
    found = {}
    for method, group in runs.items():
        run = group[0]
        same = (run.scale, run.data_sha256, _settings(run)) == (like.scale, like.data_sha256, _settings(like))
        plain = family(method) not in (STATIC, "single_task", "floor") and not watching(method)
        if same and plain and run.track == TRACK:
            found[method] = group
    return found


def _settings(run: Run) -> dict[str, object]:
    return {k: v for k, v in run.declaration.get("settings", {}).items() if k != "network"}
