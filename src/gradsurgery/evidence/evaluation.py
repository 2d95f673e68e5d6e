"""Every number that the report prints, computed once: scores, contrasts and what is neither, from the histories."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradsurgery.evidence import budgets, controls, diverged, dose, fronts, pairs, ranks, scores, searches, targets
from gradsurgery.evidence.budgets import Budget, Costs, LongRun
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.controls import Null, Repeat, Tuned
from gradsurgery.evidence.dose import Dose
from gradsurgery.evidence.fronts import Front
from gradsurgery.evidence.groups import Groups
from gradsurgery.evidence.layer_conflict import Split, splits
from gradsurgery.evidence.lines import Line, lines_of
from gradsurgery.evidence.measures import by_word
from gradsurgery.evidence.observed import activity
from gradsurgery.evidence.observed_methods import Observed, observe
from gradsurgery.evidence.pairs import Planned
from gradsurgery.evidence.pcgrad_condition import METHODS as CONDITION
from gradsurgery.evidence.pcgrad_condition import Share, shares
from gradsurgery.evidence.ranks import Ranking
from gradsurgery.evidence.searches import Searched
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.study import Trial
from gradsurgery.evidence.targets import Profile, Reach


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is no contrast of two lines, by problem: `reports/measured.json`.

    Attributes:
        by_seed: by experiment (not by problem), every test metric, single and mean of tasks, in the order of seeds.
        budgets: what surgery methods cost; only where the sum was run longer (`long_runs`).
        fronts: of static weights among the lines of the table.
        tuned, repeats, nulls, half_batches: see `controls`.
        searches: what the studies' searches found.
        activity: by experiment, means of its diagnostics over training.
        condition: the parts of PCGrad's condition that can be judged, for the sum and PCGrad.
        observed: what gradients do in the shared layers.
        splits: what layers of the tasks' own add to the sum's network.
        doses: dialled conflict, and what takes back what it costs.
        reaches: what each method pays to be as good as the sum at its end, by problem and method.
        profiles: the same over problems, by kind of cost and method.
        ranking: of the methods that most problems ran; None where too few did.
    """

    by_seed: Mapping[str, Mapping[str, Sequence[float]]] = dataclasses.field(default_factory=dict)
    budgets: Mapping[str, Mapping[str, Budget]] = dataclasses.field(default_factory=dict)
    fronts: Mapping[str, Front] = dataclasses.field(default_factory=dict)
    tuned: Mapping[str, Tuned] = dataclasses.field(default_factory=dict)
    repeats: Mapping[str, Sequence[Repeat]] = dataclasses.field(default_factory=dict)
    nulls: Mapping[str, Sequence[Null]] = dataclasses.field(default_factory=dict)
    half_batches: Mapping[str, Summary] = dataclasses.field(default_factory=dict)
    searches: Mapping[str, Mapping[str, Searched]] = dataclasses.field(default_factory=dict)
    long_runs: Mapping[str, LongRun] = dataclasses.field(default_factory=dict)
    activity: Mapping[str, Mapping[str, Summary]] = dataclasses.field(default_factory=dict)
    condition: Mapping[str, Mapping[str, Mapping[str, Share]]] = dataclasses.field(default_factory=dict)
    observed: Mapping[str, Observed] = dataclasses.field(default_factory=dict)
    splits: Mapping[str, Mapping[str, Split]] = dataclasses.field(default_factory=dict)
    doses: Mapping[str, Dose] = dataclasses.field(default_factory=dict)
    reaches: Mapping[str, Mapping[str, Reach]] = dataclasses.field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Profile]] = dataclasses.field(default_factory=dict)
    ranking: Ranking | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All of it.

    Attributes:
        scores: by experiment, the content of metrics.json.
        contrasts: every difference between two lines.
        measured: the rest.
    """

    scores: Mapping[str, Mapping[str, Any]]
    contrasts: Sequence[Contrast]
    measured: Measured


def evaluate(
    groups: Groups, selections: Mapping[str, str], costs: Costs, studies: Mapping[str, Sequence[Trial]],
    plans: Sequence[Planned], margin: Callable[[str], float | None] = lambda metric: None,
) -> Evaluation:  # fmt: skip
    """Lines that diverged have an entry in the scores and no number anywhere.

    Args:
        groups: the runs of every experiment, by name.
        selections: selection rule per problem.
        costs: by experiment.
        studies: the trials, by problem.
        plans: the papers' own comparisons.
        margin: of practical equality of a metric, in its own unit.
    """
    records, contrasts = scores.evaluate(groups, selections)
    made: dict[str, Any] = {field.name: {} for field in dataclasses.fields(Measured)}
    problems = dict[str, dict[str, Line]]()
    whole, _ = diverged.split(groups)
    for problem in sorted({group[0].problem for group in whole.values()}):
        members = {name: group for name, group in whole.items() if group[0].problem == problem}
        rule = scores.rule_of(members, selections)
        problems[problem] = lines = lines_of(members, rule)
        if next(iter(lines.values())).run.trajectory is None:
            made["by_seed"] |= {line.run.experiment: _by_seed(line) for line in lines.values()}
            contrasts += _problem(problem, lines, costs, made)
        contrasts += pairs.contrasts(plans, problem, lines)
    for problem, trials in studies.items():
        rule = selections.get(problem, scores.DEFAULT_RULE)
        made["searches"][problem] = searches.search(trials, rule)
        contrasts += searches.contrasts(trials, rule)
    made["doses"] = dose.doses(problems)
    # a dial is turned on purpose: its problems are no sample that ranks or profiles could be taken over
    blocks = ranks.levels(
        {name: lines for name, lines in problems.items() if name not in made["doses"]}, records, margin
    )
    made["ranking"] = ranks.rank(blocks) if blocks else None
    made["profiles"] = targets.profiles({p: own for p, own in made["reaches"].items() if p not in made["doses"]})
    contrasts = [dataclasses.replace(contrast, margin=margin(contrast.metric)) for contrast in contrasts]
    return Evaluation(records, contrasts, Measured(**made))


def _problem(
    problem: str, lines: Mapping[str, Line], costs: Costs, made: Mapping[str, dict[str, Any]]
) -> list[Contrast]:  # fmt: skip
    found = controls.placebos(lines)
    made["activity"] |= {line.run.experiment: means for line in lines.values() if (means := activity(line.runs))}
    if parts := {m: held for m in CONDITION if m in lines and (held := shares(lines[m].runs))}:
        made["condition"][problem] = parts
    if (seen := observe({m: line.runs for m, line in lines.items()})) is not None:
        made["observed"][problem] = seen
    if (long := budgets.long_run(lines)) is not None:
        made["long_runs"][problem] = budgets.describe(lines, long)
    if paid := budgets.budgets(lines, costs):
        made["budgets"][problem] = paid
        found += budgets.contrasts(lines, paid)
    dialled = dose.is_dialled(lines)  # which has its static weights by itself
    for name, pair in () if dialled else (("fronts", fronts.front(lines, "front")), ("tuned", controls.tuned(lines))):
        if pair is not None:
            made[name][problem] = pair[0]
            found += pair[1]
    for name, value in (
        ("repeats", controls.repeats(lines)), ("nulls", controls.nulls(lines)),
        ("half_batches", controls.half_batches(lines)), ("reaches", targets.reaches(lines, costs)),
        ("splits", splits(lines, budgets.BASELINE)),
    ):  # fmt: skip
        if value:
            made[name][problem] = value
    return found


def _by_seed(line: Line) -> dict[str, list[float]]:
    means = [f"all.{word}" for word in by_word(line.run.metrics)] if line.whole else []
    return {metric: list(line.values(metric).values()) for metric in (*line.run.own_metrics, *means)}
