"""The parts of one line of a history, each held to its format (docs/architecture.md). All raise ValueError."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.core.examples import unpack

TRACKS = ("controlled", "as-published", "reference")


def check_declared(record: Mapping[str, Any]) -> None:
    """What a line says of itself: names, tasks, metrics, the slots of its declaration."""
    name, problem, tasks = record["experiment"], record["problem"], record["tasks"]
    if not name.startswith(f"{problem}-") or name == f"{problem}-":
        raise ValueError(f"`experiment` must be {problem}-<method>, found {name!r}.")
    if record["track"] not in TRACKS:
        raise ValueError(f"`track` must be one of {', '.join(TRACKS)}, found {record['track']!r}.")
    for field in ("seed", "skipped_steps"):
        if record[field] < 0:
            raise ValueError(f"`{field}` must be from 0 on, found {record[field]}.")
    if not tasks or not all(isinstance(t, str) for t in tasks) or len(set(tasks)) < len(tasks):
        raise ValueError(f"`tasks` must be different names, found {tasks!r:.80}.")
    if not record["metrics"] or not all(type(higher) is bool for higher in record["metrics"].values()):
        raise ValueError(f"`metrics` must say of each whether more is better, found {record['metrics']!r:.80}.")
    rows = record["test_rows"]
    for count in rows.values() if isinstance(rows, Mapping) else (rows,):
        if count is not None and (type(count) is not int or count < 1):
            raise ValueError(f"`test_rows` must be whole numbers from 1 on, found {count!r}.")
    if isinstance(rows, Mapping) and set(rows) != set(tasks):
        raise ValueError(f"`test_rows` must be given for each task, found {', '.join(rows)}.")
    declaration = record["declaration"]
    for slot in ("transform", "balancer", "rule", "aggregator"):
        part = declaration.get(slot, {"name": ""})
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise ValueError(f"`declaration.{slot}` must be a block with a `name`, found {part!r:.80}.")
    for block in ("settings", "learner"):
        if not isinstance(declaration.get(block, {}), dict):
            raise ValueError(f"`declaration.{block}` must be a block, found {declaration[block]!r:.80}.")
    balancer = declaration.get("balancer", {})
    if balancer.get("name") == "single_task" and balancer.get("task") not in range(len(tasks)):
        raise ValueError(f"`declaration.balancer.task` must be one of {len(tasks)}, found {balancer.get('task')!r}.")


def check_rows(field: str, rows: Sequence[Any], counter: str) -> None:
    """Epochs count 1, 2, 3, ..; steps rise. Beside the counter stand numbers; null is one that is not known."""
    if counter == "epoch" and not rows:
        raise ValueError("`epochs` must hold at least one epoch, found none.")
    last = 0 if counter == "epoch" else -1
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"`{field}` must be a list of rows of numbers, found {row!r:.80}.")
        count = row.get(counter)
        if type(count) is not int or count <= last or (counter == "epoch" and count != last + 1):
            wanted = f"be {last + 1}" if counter == "epoch" else f"be a whole number above {last}"
            raise ValueError(f"`{counter}` of `{field}` must {wanted}, found {count!r}.")
        last = count
        for name, value in row.items():
            if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
                raise ValueError(f"`{name}` of {counter} {count} must be a finite number or null, found {value!r:.80}.")


def check_trajectory(trajectory: Mapping[str, Any]) -> None:
    """As many steps as positions and losses; as many starts everywhere; two coordinates each."""
    for field in ("steps", "theta", "losses", "first_solved"):
        if not isinstance(trajectory.get(field), list) or not trajectory[field]:
            raise ValueError(f"`trajectory.{field}` must be a list, found {trajectory.get(field)!r:.80}.")
    steps, starts = len(trajectory["steps"]), len(trajectory["first_solved"])
    for field in ("theta", "losses"):
        if not _is_shaped(trajectory[field], (steps, starts, 2)):
            raise ValueError(
                f"`trajectory.{field}` must be {steps} steps of {starts} starts of two numbers, found others."
            )
    if not all(type(s) is int for s in trajectory["steps"]) or not all(
        s is None or type(s) is int for s in trajectory["first_solved"]
    ):
        raise ValueError("`trajectory` must hold whole numbers in `steps` and `first_solved`, found others.")


def check_layers(layers: Mapping[str, Any]) -> None:
    """Counts for every epoch, layer and threshold."""
    for field in ("names", "sizes", "thresholds", "scores", "whole"):
        if not isinstance(layers.get(field), list):
            raise ValueError(f"`layers` must hold a list of {field}, found {layers.get(field)!r:.80}.")
    L, S, epochs = len(layers["names"]), len(layers["thresholds"]), len(layers["scores"])
    if type(layers.get("steps")) is not int or not _is_shaped(layers["sizes"], (L,)):
        raise ValueError(f"`layers` must hold `steps` and {L} sizes, found {layers.get('steps')!r}.")
    if not _is_shaped(layers["thresholds"], (S,)):
        raise ValueError(f"`layers.thresholds` must be numbers, found {layers['thresholds']!r:.80}.")
    if not _is_shaped(layers["scores"], (epochs, L, S)) or not _is_shaped(layers["whole"], (epochs, S)):
        raise ValueError(f"`layers` must hold scores of {epochs} epochs, {L} layers and {S} thresholds, found others.")


def check_observed(observed: Mapping[str, Any]) -> None:
    for field in ("names", "sizes", "rows"):
        if not isinstance(observed.get(field), list):
            raise ValueError(f"`observed` must hold a list of {field}, found {observed.get(field)}.")
    L = len(observed["names"])
    for row in ({"sizes": observed["sizes"]}, *observed["rows"]):
        if not isinstance(row, dict):
            raise ValueError(f"`observed` must hold rows, found {row!r:.80}.")
        for name, values in row.items():
            if name != "step" and (not isinstance(values, list) or len(values) != L):
                place = f" of step {row['step']}" if "step" in row else ""
                raise ValueError(f"`observed` must hold {L} numbers in {name}{place}, found {values}.")


def check_activity(activity: Mapping[str, Any]) -> None:
    """Numbers that are finite and not negative."""
    for name, value in activity.items():
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise ValueError(f"`activity` must hold numbers from 0 on, found {name} = {value!r:.80}.")


def check_examples(examples: Sequence[Any], epochs: Sequence[Mapping[str, Any]]) -> None:
    """Contributions of test examples, which average to the metrics of their epoch where all of them are kept."""
    rows = {row["epoch"]: row for row in epochs}
    for entry in examples:
        if not isinstance(entry, dict) or entry.get("epoch") not in rows or not isinstance(entry.get("metrics"), dict):
            raise ValueError(f"`examples` must hold metrics of epochs of the run, found {entry!r:.80}.")
        for name, record in entry["metrics"].items():
            where, said = f"{name} in epoch {entry['epoch']}", rows[entry["epoch"]].get(f"test.{name}")
            try:
                found = unpack(record)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"`examples` must hold contributions to {where}, found {error!r:.80}.") from None
            step = (record["high"] - record["low"]) / 510 if "bytes" in record else 0.0
            if said is None or (found.whole and abs(found.mean - said) > step + 1e-6):
                raise ValueError(f"`examples` must average to {said}, that is {where}, found {found.mean:g}.")


def _is_shaped(values: Any, shape: Sequence[int]) -> bool:
    """Whether nested lists have this shape and hold numbers or null."""
    level = [values]
    for size in shape:
        if not all(isinstance(row, list) and len(row) == size for row in level):
            return False
        level = [value for row in level for value in row]
    return all(value is None or (type(value) in (int, float) and math.isfinite(value)) for value in level)
