"""What `make paper-check` found, by kind of line: its file, its table, and which lines are of one kind."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradsurgery.core.discovery import find
from pipelines._files import as_json, read_text, replace
from pipelines._params import Experiment
from pipelines._sizes import maker
from pipelines._workspace import checkout

FOUND, TABLE = Path("reports/paper_check.jsonl"), Path("reports/paper_check.md")
Record = dict[str, Any]
# Settings that change no size and no code: what two lines may differ in and be of one kind.
_FREE = {
    "lr", "lr_end", "gamma", "milestones", "epochs", "steps", "passes", "momentum", "weight_decay", "betas", "beta2",
    "cosine", "ratio", "permuted", "labelled", "income_weight", "landscape", "reward_scale", "train_size", "val_size",
    "test_size", "test_batch", "hold_out", "augment", "twin",
}  # fmt: skip
_WORDS = """\
# Every kind of line of scale paper, two steps at full size

Written by `make paper-check`; not to be edited. {good} of {all} kinds of lines run. Network, inputs, batch and method
are the paper's; the data are random numbers in the form of its data, so that no loss means anything here. One line
stands for all that run the same code on the same sizes and, where a step takes more than 20 seconds, for those of its
kind of method. Run on: {where}.

Memory is the peak of the whole process (on a GPU, of what torch allocated), a step the median of those without
diagnostics. Operations and GFLOP are counted on a step of its own, unless one takes that long: operations of torch but
for views, about one launch on a GPU each; multiplications and additions of convolutions and matrix products. Of
the micro-batches of a step as many are taken as there are tasks, and the whole step is reckoned from them.

"""


def kind(line: Experiment) -> str:
    """One for all lines that run the same code on the same sizes."""
    own = line.declaration
    parts = [own["module"], own["balancer"]["name"], own["rule"], own["aggregator"]["name"]]
    learner = {name: bool(value) for name, value in own.get("learner", {}).items() if name != "diagnose_every"}
    return as_json([near(line), parts, own["aggregator"].get("method"), learner])


def near(line: Experiment) -> str:
    """One for all lines that take about as long: data, network, rule, transform, and kind of method."""
    own = line.declaration
    settings = {name: value for name, value in own["settings"].items() if name not in _FREE}
    scored = bool(own.get("learner", {}).get("score_layers"))
    method = find("aggregators", own["aggregator"]["name"]).__mro__[1].__name__
    return as_json([maker(own["module"]), settings, own["transform"]["name"], own["rule"]["name"], method, scored])


def read() -> dict[str, Record]:
    """What the checkout has, by kind, in the order in which it was run. Raises ValueError for another file."""
    path = checkout(Path.cwd()) / FOUND
    if not path.exists():
        return {}
    try:
        lines = [json.loads(text) for text in read_text(path, "remove it").splitlines()]
        return {own["kind"]: own for own in lines if own["near"] and own["line"] and own["state"]}
    except (json.JSONDecodeError, LookupError, TypeError):
        raise ValueError(f"{FOUND} must hold what `make paper-check` wrote, found something else: remove it.") from None


def write(found: Mapping[str, Record]) -> None:
    """File and table."""
    replace(FOUND, "\n".join(map(as_json, found.values())))
    replace(TABLE, table(found.values()))


def labelled(line: Experiment, found: Record) -> Record:
    """What a process found, with what tells whose it is."""
    return {"line": line.name, "kind": kind(line), "near": near(line), **found}


def of(line: Experiment, found: Mapping[str, Record]) -> Record | None:
    """What is known of a line's cost: of its kind, else of one near it; None where nothing of it runs."""
    own = found.get(kind(line))
    close = [own] if own else [record for record in found.values() if record["near"] == near(line)]
    return next((record for record in close if "launches" in record), None)


def said(record: Record) -> str:
    """A record in one line."""
    if "launches" not in record:
        return str(record["state"])
    return (
        f"{record['state']}, {record['parameters']:,} parameters, {record['memory_mb'] / 1024:.1f} GiB, "
        f"{record['seconds']:.2f} s a step, {record['launches']} operations, {record['gflop']:.1f} GFLOP"
    )


def table(found: Iterable[Record]) -> str:
    """Markdown: where it was run, then a row for every line."""
    records = list(found)
    machines = {as_json(own["environment"]): own["environment"] for own in records if "environment" in own}
    where = "; ".join(
        f"{own['device']} ({own['processor']}, {own['threads']} thread, torch {own['torch']})"
        for own in machines.values()
    )
    good = sum(own["state"] == "ok" for own in records)
    head = ["line", "parameters", "memory, GiB", "step, s", "operations a step", "GFLOP a step", "state"]
    rows = [head, ["-"] * len(head), *map(_cells, records)]
    return _WORDS.format(good=good, all=len(records), where=where or "nothing yet") + "\n".join(
        f"| {' | '.join(cells)} |" for cells in rows
    )


def _cells(own: Record) -> list[str]:
    if "launches" not in own:
        return [own["line"], "", "", "", "", "", own["state"]]
    counts = f"{own['launches']:,}", f"{own['gflop']:,.1f}"
    sizes = f"{own['parameters']:,}", f"{own['memory_mb'] / 1024:.2f}", f"{own['seconds']:.3f}"
    return [own["line"], *sizes, *counts, own["state"]]
