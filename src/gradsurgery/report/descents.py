"""The section of a paper with landscapes of its own: where the descents end, and its method beside the sum on data."""

from collections.abc import Callable, Mapping, Sequence

from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import capital
from gradsurgery.report import across, landscapes, tables
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.sentences import landscape_sentence
from gradsurgery.report.style import NAMES
from gradsurgery.report.titles import setting, title

_CLOUD = 10  # more starts than this are copies of one start, shown as a distribution


def section_of(
    key: str, claim: str, toys: Sequence[str], chosen: Callable[[Run], bool], evidence: Evidence
) -> Section | None:
    """The section, or None where neither a landscape nor a problem with data was run.

    Args:
        key: the paper's key, with which names of files start.
        claim: what the paper says.
        toys: its landscapes.
        chosen: which runs are of its method.
        evidence: everything that was run.
    """
    found = across.against_sum(evidence, chosen)
    present = {problem: groups for problem in toys if (groups := of(evidence.groups, problem))}
    if not found and not present:
        return None
    drawings: list[Drawing] = []
    sheets: list[Sheet] = []
    ran, said = [], []
    for problem, groups in present.items():
        runs = {method: group[0] for method, group in groups.items()}
        drawings += _drawn(problem, runs, evidence)
        name = title(problem)
        sheets.append(Sheet(problem, capital(name), tables.landscape_table(evidence.metrics, problem)))
        starts = evidence.metrics[next(iter(runs.values())).experiment]["landscape"]["starts"]
        ran.append(f"The {name} from {starts} starts. {setting(groups)}")
        said.append(f"On the {name}: {landscape_sentence(problem, evidence.metrics)}")
    if found:
        name = NAMES[key]
        if any(evidence.metrics[f"{c.problem}-{c.method}"].get("delta_m_sum") for c in found):
            caption = f"{name} against the sum on every problem with data; the intervals are over seeds."
            drawings.insert(1, Drawing(f"{key}-across", across.forest(found, evidence.metrics), caption))
        sheets.append(Sheet(f"{key}-across", f"{name} against the sum", across.sheet(found, evidence)))
        ran.append(f"{name} and the sum under one protocol on {len({c.problem for c in found})} problems with data.")
        said.append(across.sentence(found))
    return Section(claim=claim, ran=" ".join(ran), found=" ".join(said), drawings=drawings, sheets=sheets)


def aggregated_by(run: Run) -> str:
    """The method that combines a line's gradients in a network that is otherwise as it was; empty for others."""
    parts = (run.declaration.get(slot, {}).get("name") for slot in ("transform", "aggregator"))
    transform, aggregator = parts
    return str(aggregator) if transform in (None, "identity") else ""


def _drawn(problem: str, runs: Mapping[str, Run], evidence: Evidence) -> list[Drawing]:
    name = capital(title(problem))
    steps = (next(iter(runs.values())).trajectory or {"steps": [0]})["steps"][-1]
    note = f"{name}, {steps:,} steps; rings are starts, dots are where the descent stopped"
    drawings = [
        Drawing(
            f"{problem}-parameters", landscapes.parameter_space(runs),
            f"{note}; lines are contours of the mean loss; a title counts the starts solved.",
        ),
        Drawing(f"{problem}-losses", landscapes.loss_space(runs), f"{note}; axes are the two losses."),
    ]  # fmt: skip
    if evidence.metrics[next(iter(runs.values())).experiment]["landscape"]["starts"] > _CLOUD:
        caption = f"{name}: where perturbed copies (1e-7) of one start end, as cumulative share of starts by total loss"
        drawings.insert(0, Drawing(f"{problem}-ends", landscapes.end_points(runs), f"{caption}, and by position."))
    return drawings
