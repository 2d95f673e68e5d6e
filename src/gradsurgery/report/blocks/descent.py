"""A paper's own landscapes: the path from every start, where it ends, and how many are solved."""

from collections.abc import Mapping

from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import capital
from gradsurgery.report import landscapes, tables
from gradsurgery.report.section import Drawing, Section, Sheet
from gradsurgery.report.sentences import landscape_sentence
from gradsurgery.report.sources import Sources
from gradsurgery.report.titles import setting, title

_CLOUD = 10  # more starts than this are copies of one start, shown as a distribution


def part(key: str, sources: Sources, problems: list[str]) -> Section | None:
    """None where none of the landscapes was run.

    Args:
        key: the paper's, unused: files are named after the landscape.
        sources: everything that was run.
        problems: the landscapes.
    """
    drawings, sheets, ran, found = list[Drawing](), list[Sheet](), list[str](), list[str]()
    for problem in problems:
        groups = of(sources.groups, problem)
        if not groups:
            continue
        runs = {method: group[0] for method, group in groups.items()}
        drawings += _drawn(problem, runs, sources)
        name = title(problem)
        sheets.append(Sheet(problem, capital(name), tables.landscape_table(sources.metrics, problem)))
        starts = sources.metrics[next(iter(runs.values())).experiment]["landscape"]["starts"]
        ran.append(f"The {name} from {starts} starts. {setting(groups)}")
        found.append(f"On the {name}: {landscape_sentence(problem, sources.metrics)}")
    return Section("", " ".join(ran), " ".join(found), drawings, sheets) if ran else None


def _drawn(problem: str, runs: Mapping[str, Run], sources: Sources) -> list[Drawing]:
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
    if sources.metrics[next(iter(runs.values())).experiment]["landscape"]["starts"] > _CLOUD:
        caption = f"{name}: where perturbed copies (1e-7) of one start end, as cumulative share of starts by total loss"
        drawings.insert(0, Drawing(f"{problem}-ends", landscapes.end_points(runs), f"{caption}, and by position."))
    return drawings
