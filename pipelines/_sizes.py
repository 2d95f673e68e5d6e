"""What the arrays of a problem are like at full size (data/sizes.yaml), and random ones in their form."""

import functools
import importlib
import inspect
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradsurgery.core.discovery import find
from pipelines import _own
from pipelines._yaml import read_yaml

if TYPE_CHECKING:
    from pipelines._problems import Problem

Arrays = dict[str, np.ndarray]


@functools.cache
def sizes() -> Mapping[str, Any]:
    """data/sizes.yaml of the current folder."""
    found: Mapping[str, Any] = read_yaml(Path("data/sizes.yaml"))
    return found


def of(problem: "Problem", datasets: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The entry of a problem; None where its arrays are drawn, not brought.

    Raises ValueError for one whose arrays nobody has said the sizes of.
    """
    if all(datasets[name]["sources"][0]["kind"] == "python" for name in problem.sources):
        return None
    table = sizes()["arrays"]
    module = maker(problem.module)
    keys = [f"{module}.{problem.prepare.get('left')}", module]
    if not (found := [table[key] for key in keys if key in table]):
        raise ValueError(f"`data/sizes.yaml: arrays` must hold {keys[0]} or {keys[1]}, found {', '.join(table)}.")
    entry: Mapping[str, Any] = found[0]
    return entry


@functools.cache
def maker(module: str) -> str:
    """The module of problems whose `prepare` a module of problems has: its own, or that of another on the same data."""
    name: str = importlib.import_module(f"gradsurgery.problems.{module}").prepare.__module__
    return name.rpartition(".")[2]


def gigabytes(entry: Mapping[str, Any] | None) -> float:
    """Of all arrays of a problem, in 10^9 bytes; 0 for what is drawn."""
    if entry is None:
        return 0.0
    row = sum(math.prod(form["shape"]) * np.dtype(form["type"]).itemsize for form in _forms(entry).values())
    return float(entry.get("gigabytes", sum(entry["rows"].values()) * row / 1e9))


def numbers(entry: Mapping[str, Any]) -> int:
    """How many numbers a row has, of all arrays."""
    return sum(math.prod(form["shape"]) for form in _forms(entry).values())


def drawn(problem: "Problem", datasets: Mapping[str, Any], train: int, held_out: int) -> Arrays:
    """Arrays in the form of a problem's: random ones, at most so many rows of a split, or whole those that it draws."""
    entry = of(problem, datasets)
    if entry is None:
        from pipelines.prepare import build

        return build(problem, {name: _called(datasets[name]) for name in sorted(problem.sources)})
    words = np.random.default_rng(0)
    found: Arrays = {
        name: np.array(values, np.int64) if isinstance(values, list) else _random(values, values["shape"], words)
        for name, values in entry.get("fixed", {}).items()
    }
    for name, form in _forms(entry).items():
        for split, rows in entry["rows"].items():
            shape = (min(rows, train if split == "train" else held_out), *form["shape"])
            found[f"{split}_{name}"] = _random(form, shape, words)
    return found


def settled(declaration: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a line with the defaults of its problem, of those fields that are no parts."""
    parameters = inspect.signature(find("problems", declaration["module"])).parameters
    given = [*parameters.values()]
    if "training" in parameters:
        given += inspect.signature(parameters["training"].annotation).parameters.values()
    return {each.name: each.default for each in given if each.default is not each.empty} | dict(declaration["settings"])


def trained_on(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The splits whose rows a line trains on."""
    return ("train",) if settings.get("hold_out", True) else ("train", "val")


def _forms(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: form for name, form in entry.items() if name not in ("rows", "fixed", "gigabytes")}


def _random(form: Mapping[str, Any], shape: Sequence[int], words: np.random.Generator) -> np.ndarray:
    if "below" not in form:
        return words.standard_normal(shape, np.float32).astype(form["type"])
    low, below = np.array(form.get("from", 0)), np.array(form["below"])
    if np.dtype(form["type"]).kind == "f":
        return (low + (below - low) * words.random(shape, np.float32)).astype(form["type"])
    return words.integers(low, below, shape).astype(form["type"])


def _called(dataset: Mapping[str, Any]) -> Arrays:
    """What the function that a data set comes from returns."""
    source = dataset["sources"][0]
    with tempfile.TemporaryDirectory() as folder:
        _own.call(source["function"], source.get("arguments", {}), dataset["arrays"], Path(folder))
        return {name: np.load(Path(folder, f"{name}.npy")) for name in dataset["arrays"]}
