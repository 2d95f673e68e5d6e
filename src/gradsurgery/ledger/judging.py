"""A published record beside our evidence: the word that its numbers allow, and why.

A difference is one claim with a direction and, mostly, a size: `evidence.words` says the word. A cell of a table is its
distance from the row that its table calls the baseline. A landscape is counted, start by start: its starts are no
independent seeds. A bound holds or does not, with the whole interval of our level.
"""

import dataclasses

import numpy as np

from gradsurgery.evidence import diverged
from gradsurgery.evidence.activity import RARELY, acted, acting
from gradsurgery.evidence.groups import Groups, Metrics
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.measures import is_derived, measure
from gradsurgery.evidence.power import ALPHA, POWER
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.words import DIRECTION, INCONCLUSIVE, OPPOSITE, REPRODUCED, SMALLER, word
from gradsurgery.ledger.columns import COLUMNS, column_of
from gradsurgery.ledger.findings import Costs, Finding, published_value, told, why
from gradsurgery.ledger.measured import CONFLICT, contrast_of, cosines_of, ends_of, level_of
from gradsurgery.ledger.protocol import Design, Protocol
from gradsurgery.ledger.records import Answer, Record
from gradsurgery.ledger.words import NOT_EXERCISED

BOUNDS = ("count", "at_least", "at_most")
ALONE_AT_SCALE = "not run (a level alone means nothing at another scale)"
NONE = Protocol(ALPHA, POWER, {}, 0, {}, "")  # where nothing was registered and no margin is known


@dataclasses.dataclass(frozen=True)
class Ours:
    """What records are held against: runs by experiment, their scores, those that diverged, costs and what was
    registered."""

    groups: Groups
    metrics: Metrics
    gone: Groups = dataclasses.field(default_factory=dict)
    protocol: Protocol = NONE
    costs: Costs = dataclasses.field(default_factory=dict)

    def line(self, experiment: str) -> Line:
        return Line(self.groups[experiment], self.metrics[experiment]["selection"])


def judge(record: Record, ours: Ours) -> Finding:
    """Our answer to one published record. Raises ValueError where it names a metric that the experiment lacks."""
    answer, groups = record.answered_by, ours.groups
    if answer is None:
        return Finding(record, "-", "-", f"not run ({record.unanswered})")
    named = [name for name in (answer.experiment, answer.minus) if name is not None]
    missing = [name for name in named if name not in groups]
    if missing and (runs := ours.gone.get(missing[0])):
        why = f"{missing[0]} left the finite numbers, and nothing is said of the seeds that did not"
        return Finding(record, "-", f"{runs[0].scale}, {runs[0].track}", diverged.told(runs), why)
    if missing:
        return Finding(record, "-", "-", f"not run (no history of {missing[0]})")
    run = groups[answer.experiment][0]
    landscape = run.trajectory is not None
    where = f"{'full length' if landscape and run.scale != 'smoke' else run.scale}, {run.track}"
    where = f"{where}, twin" if record.twin else where
    if any(ours.metrics[name].get("improving") for name in named):
        where = f"{where}, still improving"
    if landscape and run.scale == "smoke":
        return Finding(record, "-", where, "not run (smoke scale is too short to say)")
    if answer.metric in CONFLICT and not all(cosines_of(run) for name in named for run in groups[name]):
        return Finding(record, "-", where, "not run (the runs logged no cosines)")
    if answer.metric in COLUMNS:
        return _printed(record, answer, where, ours)
    task = answer.metric.split(".", 1)[0]
    if record.kind == "level" and task not in (*run.tasks, "all") and run.scale != "paper":
        return Finding(record, "-", where, f"not run (no task {task} at this scale)")
    if landscape:
        return _counted(record, answer, where, ours) if record.kind in BOUNDS else _ends(record, answer, where, ours)
    if record.kind in BOUNDS:
        return _bounded(record, answer, where, ours.line(answer.experiment))
    if answer.minus is None or (record.kind == "level" and not record.margin):
        level = level_of(ours.line(answer.experiment), answer.metric)
        said = told(level, answer.metric, signed=False)
        return Finding(record, said, where, ALONE_AT_SCALE, level=level)
    return _compared(record, answer, where, ours)


def _printed(record: Record, answer: Answer, where: str, ours: Ours) -> Finding:
    """A column that is no metric of the problem: a level, where the runs hold what it asks for."""
    line, minus = (ours.line(name) if name else None for name in (answer.experiment, answer.minus))
    assert line is not None
    among = [ours.line(name) for name in answer.among if name in ours.groups]
    level = column_of(answer.metric, line, ours.metrics[answer.experiment], minus, among)
    if level is None:
        return Finding(record, "-", where, "not run (the runs do not hold what this column asks for)")
    said = told(level, answer.metric, signed=False)
    return Finding(record, said, where, ALONE_AT_SCALE, level=level)


def _counted(record: Record, answer: Answer, where: str, ours: Ours) -> Finding:
    assert record.value is not None
    end = ours.metrics[answer.experiment]["landscape"]
    count, value = end[answer.metric], record.value
    holds = {"count": count == value, "at_least": count >= value, "at_most": count <= value}[record.kind]
    missed = OPPOSITE if record.kind == "at_most" or not count or not value else SMALLER
    verdict = REPRODUCED if holds else DIRECTION if record.kind == "count" and 0 < value < count else missed
    why = f"{count} of {end['starts']} starts against {published_value(record)}, counted"
    return Finding(record, f"{count} of {end['starts']}", where, verdict, why)


def _ends(record: Record, answer: Answer, where: str, ours: Ours) -> Finding:
    """Two descents from the same starts: on how many the claim holds. Starts beside each other end alike, so that there
    is no interval over them."""
    found = ends_of(ours.line(answer.experiment), ours.line(str(answer.minus)))
    held = int((np.sign(found) == (1 if record.direction == "higher" else -1)).sum())
    verdict = {len(found): REPRODUCED, 0: OPPOSITE}.get(held, INCONCLUSIVE)
    mean = measure(answer.metric).say(Summary(1, float(found.mean()), None, None, None), signed=True)
    said = f"{held} of {len(found)} {record.direction} ({mean} on average)"
    return Finding(record, said, where, verdict, "start by start, counted: starts are no independent seeds")


def _bounded(record: Record, answer: Answer, where: str, line: Line) -> Finding:
    """A bound on a metric: it holds where our whole interval lies on the side that is said."""
    assert record.value is not None
    noise = line.noise(None, answer.metric) if not is_derived(answer.metric) else None
    level = level_of(line, answer.metric, noise or 0.0)
    beyond = level.moved(measure(answer.metric).factor, record.value)
    found = word(beyond.turned() if record.kind == "at_most" else beyond, None)
    verdict = {DIRECTION: REPRODUCED}.get(found, found)
    why = {REPRODUCED: "our whole interval lies on the side that is said", OPPOSITE: "our whole interval lies on the "
           "other side", INCONCLUSIVE: "the bound lies in our interval"}.get(verdict, "")  # fmt: skip
    return Finding(record, told(level, answer.metric, signed=False), where, verdict, why, level)


def _compared(record: Record, answer: Answer, where: str, ours: Ours) -> Finding:
    """A difference, or a cell of a table by its distance from the table's baseline."""
    line, minus = ours.line(answer.experiment), ours.line(str(answer.minus))
    published = record.margin if record.kind == "level" else record.value
    way = record.direction if record.kind != "level" else "higher" if (published or 0.0) > 0 else "lower"
    found = contrast_of(line, minus, answer.metric, way)
    found = dataclasses.replace(found, margin=ours.protocol.margin(answer.metric))
    said, level = told(found.difference, answer.metric), None
    if record.kind == "level":
        level = level_of(line, answer.metric)
        said = f"{told(level, answer.metric, signed=False)}; minus baseline {said}"
    effect = None
    if published and record.kind != "no_difference":
        turned = published / measure(answer.metric).factor * (1 if way == "higher" else -1)
        effect = turned if turned > 0 else None
    design = ours.protocol.design(record.id)
    confirmatory = design is not None and design.scale == line.run.scale and _registered(design, line, minus, ours)
    finding = Finding(record, said, where, "", "", level, found, effect, confirmatory)
    if answer.in_force is None and all(acted(run) is False for run in line.runs):
        return dataclasses.replace(finding, verdict=NOT_EXERCISED, why=f"{line.run.experiment} never acted")
    where, notes = f"{where}{_rarely(answer, line)}", _notes(answer, found.paired, line, minus)
    return said_of(dataclasses.replace(finding, where=where, notes=notes), ours)


def _rarely(answer: Answer, line: Line) -> str:
    """How often the method acted, where that is rarely."""
    shares = [share for run in line.runs if (share := acting(run)) is not None]
    if answer.in_force is not None or not shares or np.mean(shares) >= RARELY:
        return ""
    return f", acted in {100 * np.mean(shares):.2g} % of its steps"


def _notes(answer: Answer, pairs: bool, line: Line, minus: Line) -> list[str]:
    """Both levels; and the seeds of both sides, where they do not pair."""
    levels = [measure(answer.metric).say(level_of(each, answer.metric), signed=False) for each in (line, minus)]
    found = [" against ".join(levels)]
    if not pairs and len(line.runs) != len(minus.runs):
        found.append(f"{len(line.runs)} seeds against {len(minus.runs)}")
    return found


def _registered(design: Design, line: Line, minus: Line, ours: Ours) -> bool:
    """Whether all seeds of the design are there under the protocol's hash, and no others beside them."""
    runs = {run.seed for each in (line, minus) for run in each.runs if run.protocol == ours.protocol.sha256}
    whole = ours.protocol.there(design, ours.groups) == design.n == len(runs)
    return whole and len(line.runs) == len(minus.runs) == design.n


def said_of(finding: Finding, ours: Ours, p: float | None = None, equal_p: float | None = None) -> Finding:
    """The finding with its word; p values where they are corrected within a family."""
    assert finding.contrast is not None
    contrast, alpha = finding.contrast, ours.protocol.alpha
    verdict = word(finding.gain, contrast.margin, finding.effect, p, alpha, equal_p)
    return dataclasses.replace(finding, verdict=verdict, why=why(finding, verdict, ours.protocol, ours.costs))


def tested(finding: Finding) -> float | None:
    """The p value that decides a claim: of a difference, or of one that is too large to be none."""
    assert finding.contrast is not None
    margin = finding.contrast.margin
    equivalence = finding.record.kind == "no_difference" and margin is not None
    return finding.gain.within(margin) if equivalence and margin is not None else finding.gain.p
