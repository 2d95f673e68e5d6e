"""metrics.json as tables: one flat one for machines, and one per problem for people, with intervals."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.evidence.contract import REFERENCE
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import PLAIN, by_word, measure, worded
from gradsurgery.evidence.selection import FAIR
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.style import label

MANY = 4  # more metrics than this go into a table of their own

Metrics = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Linked:
    """A table's cell that leads somewhere on the page. It equals its text, and a CSV file holds its text alone.

    No subclass of str, because pandas turns a column of those into plain text.
    """

    text: str
    target: str

    def at(self, scale: str) -> "Linked":
        """The same of another scale; of that of the report where none is named."""
        folder, _, name = self.target.partition("/")
        return dataclasses.replace(self, target=f"{folder}/{scale}/{name}") if scale else self

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return str(other) == self.text if isinstance(other, str | Linked) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)


def source(experiment: str, text: str | None = None) -> Linked:
    """A cell that leads to the history which its row was computed from."""
    return Linked(experiment if text is None else text, f"history/{experiment}.jsonl")


def trials_of(problem: str, text: str) -> Linked:
    """A cell that leads to the study which its row was computed from."""
    return Linked(text, f"study/{problem}.jsonl")


def to_histories(frame: pd.DataFrame, runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """`frame` with every method's label leading to the history of its runs."""
    links = {label(method): source(group[0].experiment, label(method)) for method, group in runs.items()}
    return frame.assign(method=frame["method"].map(links))


def summary_of(entry: Mapping[str, Any] | None) -> Summary | None:
    """An entry of metrics.json."""
    if entry is None:
        return None
    low, high = entry["ci95"] or (None, None)
    return Summary(entry["n"], entry["mean"], entry["sd"], low, high)


def level_of(metrics: Metrics, run: Run, metric: str) -> str:
    """What metrics.json says of one metric of an experiment, with its interval."""
    return measured(metrics[run.experiment].get(metric), metric)


def named(problem: str, metrics: Metrics) -> dict[str, Mapping[str, Any]]:
    """The records of one problem by experiment, lines of another budget last."""
    names = [name for name in metrics if metrics[name]["problem"] == problem]
    return {name: metrics[name] for name in sorted(names, key=lambda n: (metrics[n]["track"] == REFERENCE, n))}


def measured(value: Mapping[str, Any] | None, metric: str, signed: bool = False) -> str:
    """A value or a difference of metrics.json with its interval, in the digits of its metric."""
    return measure(metric).say(summary_of(value), signed)


def plainly(value: Mapping[str, Any] | None, signed: bool = False) -> str:
    """The same of a number without a unit of its own, such as a mean rank or a Delta-m in per cent."""
    return PLAIN.say(summary_of(value), signed)


def problem_table(metrics: Metrics, problem: str, directions: Mapping[str, bool]) -> pd.DataFrame:
    """One row per method: means over tasks first, single tasks where they are few, then the comparisons.

    Args:
        metrics: metrics.json.
        problem: which of its problems.
        directions: the problem's metrics, True where higher is better.
    """
    words = {word: names for word, names in by_word(directions).items() if len(names) > 1}
    several = len(by_word(directions)) > 1
    rows = []
    for experiment, record in named(problem, metrics).items():
        row: dict[str, Any] = {"method": source(experiment, label(record["method"]))}
        for word in words:
            row[_titled(f"all.{word}", directions[words[word][0]])] = measured(record.get(f"all.{word}"), word)
        for name in directions if len(directions) <= MANY else ():
            row[_titled(name, directions[name])] = measured(record.get(name), name)
        for word in by_word(directions):
            unit = measure(word).of_step
            mean = ", mean of tasks" if word in words else ""
            minus = record.get("minus_sum", {}).get(f"all.{word}")
            row[f"{measure(word).name} minus sum{mean}{unit}"] = measured(minus, word, signed=True)
        if several:
            row["Delta-m against the sum (%)"] = plainly(record.get("delta_m_sum"), signed=True)
        row["Delta-m, metrics (%)"] = plainly(record.get("delta_m_metric"), signed=True)
        row["Delta-m, tasks (%)"] = plainly(record.get("delta_m_task"), signed=True)
        row["mean rank"] = plainly(record.get("mean_rank"))
        row["still improving"] = "yes" if record.get("improving") else "-"
        row["n"] = record["n"]
        row["in the controlled table"] = _standing(record)
        rows.append(row)
    frame = pd.DataFrame(rows)
    if (frame["in the controlled table"] == "yes").all():
        frame = frame.drop(columns="in the controlled table")
    return frame[[name for name in frame.columns if not (frame[name] == "-").all()]]


def _standing(record: Mapping[str, Any]) -> str:
    if record.get("excluded"):
        return f"no: {'; '.join(record['excluded'])}"
    return "yes" if record["track"] == "controlled" else f"no: track {record['track']}"


def tasks_table(metrics: Metrics, problem: str, directions: Mapping[str, bool]) -> pd.DataFrame:
    """Methods across, metrics down: where a problem has too many tasks for one row of `problem_table`."""
    records = {e: r for e, r in named(problem, metrics).items() if any(name in r for name in directions)}
    return pd.DataFrame([
        {
            "metric": _titled(name, higher),
            **{label(r["method"]): source(e, measured(r.get(name), name)) for e, r in records.items()},
        }
        for name, higher in directions.items()
    ])  # fmt: skip


def _titled(metric: str, higher: bool) -> str:
    return worded(metric) + ("" if higher else ", lower is better")


def rules_table(metrics: Metrics, problem: str, directions: Mapping[str, bool]) -> pd.DataFrame:
    """The same runs under every selection rule, and what looking at the test set would have added to best-val."""
    rows = []
    for experiment, record in named(problem, metrics).items():
        for word, names in by_word(directions).items():
            own = [name for name in names if name in record["rules"]["last"]]
            if not own:
                continue
            how = measure(word)
            means = {r: how.factor * sum(v[n] for n in own) / len(own) for r, v in record["rules"].items()}
            sign = 1 if directions[own[0]] else -1
            gains = {r: sign * (means[r] - means["best-val"]) for r in means if r not in FAIR}
            rows.append({
                "method": source(experiment, label(record["method"])),
                "metric": f"{how.name}{how.of_unit}",
                **{rule: f"{mean:.{how.digits}f}" for rule, mean in means.items()},
                **{f"optimism of {rule}": f"{gain:+.{how.digits}f}" for rule, gain in gains.items()},
                "n": record["n"],
            })  # fmt: skip
    return pd.DataFrame(rows)


def landscape_table(metrics: Metrics, problem: str) -> pd.DataFrame:
    """One row per method of a landscape: how many starts it solves, where they end, how soon the slowest got there."""
    rows = []
    for experiment, record in named(problem, metrics).items():
        end = record["landscape"]
        reached = [step for step in end["first_solved"] if step is not None]
        rows.append({
            "method": source(experiment, label(record["method"])),
            "starts": end["starts"],
            "solved": end["solved"],
            "stuck above zero": end["stuck"],
            "mean task loss at the end (min to max)": f"{min(end['end_loss']):.2f} to {max(end['end_loss']):.2f}",
            "first solved, slowest start (step)": max(reached) if len(reached) == end["starts"] else "-",
        })  # fmt: skip
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A pipe table. Written out here because pandas needs one more package for it."""
    cells = [list(table.columns), ["---"] * len(table.columns), *table.astype(object).values.tolist()]
    return "".join("| " + " | ".join(_escape(cell) for cell in row) + " |\n" for row in cells)


def _escape(cell: object) -> str:
    return "-" if cell is None else str(cell).replace("|", "\\|")
