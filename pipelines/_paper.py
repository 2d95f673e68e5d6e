"""What `make paper-check` found, by kind of line: its file, its table, and which lines are of one kind."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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
_LONG = 100.0  # GFLOP that a CPU takes in a step: from there on lines stand also for those near them
_WORDS = """\
# Every kind of line of scale paper, two steps at full size

Written by `make paper-check`; not to be edited. Of {all} kinds of lines that were run {good} run{rest}.
Network, inputs and method are the paper's; the data are random numbers in the form of its data, so that no loss means
anything here. One line stands for all that run the same code on the same sizes and, where a CPU takes more than
{long:,.0f} GFLOP in a step, for those that differ in the weights of the losses or in how the metrics are taken alone.
Run on: {where}.

The batch is the paper's on a GPU. A CPU takes of a large one the examples that the column says: {cut} kinds here.
Memory (the peak of the whole process; on a GPU, of what torch allocated) and seconds (the median of steps without
diagnostics) are those of what was taken; the paper's batch takes more of both. Operations and GFLOP are those of the
paper's batch: operations of torch but for views, about one launch on a GPU each, however large the batch;
multiplications and additions of convolutions and matrix products, reckoned for the whole batch by a line through what
was counted with the examples taken and with half of them, or, where one or two were taken, in proportion. Of the
micro-batches of a step as many are taken as there are tasks, and the whole step is reckoned from them. These
kinds together took a core {minutes:,.0f} minutes.

"""


def kind(line: Experiment) -> str:
    """One for all lines that run the same code on the same sizes."""
    own = line.declaration
    return as_json([near(line), own["module"], own["balancer"]["name"], own["rule"].get("micro_batches")])


def near(line: Experiment) -> str:
    """One for all lines that take as long, but for the weights of losses: data, network, rule, transform, method."""
    own, aggregator = line.declaration, line.declaration["aggregator"]
    settings = {name: value for name, value in own["settings"].items() if name not in _FREE}
    learner = {name: bool(value) for name, value in own.get("learner", {}).items() if name != "diagnose_every"}
    rule = {name: value for name, value in own["rule"].items() if name != "micro_batches"}
    method = [aggregator["name"], aggregator.get("method")]
    return as_json([maker(own["module"]), settings, own["transform"]["name"], rule, method, learner])


def known(line: Experiment, found: Mapping[str, Record]) -> bool:
    """Whether its kind is there, or one near it that takes a CPU long."""
    if kind(line) in found:
        return True
    close = [own for own in found.values() if own["near"] == near(line) and "launches" in own]
    return any(own["environment"]["device"] == "cpu" and own["taken"] > _LONG for own in close)


def missing(lines: Iterable[Experiment], found: Mapping[str, Record]) -> int:
    """How many kinds of these lines are still to be run."""
    return len({kind(line) for line in lines if not known(line, found)})


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


def current(found: Mapping[str, Record], lines: Iterable[Experiment]) -> dict[str, Record]:
    """Without what did not run and no line asks for any more."""
    kinds = set(map(kind, lines))
    return {name: own for name, own in found.items() if own["state"] == "ok" or name in kinds}


def write(found: Mapping[str, Record], left: int) -> None:
    """File and table, which says how many kinds are left."""
    replace(FOUND, "\n".join(map(as_json, found.values())))
    replace(TABLE, table(found.values(), left))


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
        f"{record['state']}, {record['parameters']:,} parameters, batch {_batch(record)}, "
        f"{record['memory_mb'] / 1024:.1f} GiB, {record['seconds']:.2f} s a step, {record['launches']} operations, "
        f"{record['gflop']:.1f} GFLOP"
    )


def cut(record: Mapping[str, Any]) -> bool:
    """Whether its steps took less than the paper's batch."""
    return bool(record["rows"] < record["batch"])


def _batch(record: Record) -> str:
    return f"{record['rows']} of {record['batch']}" if cut(record) else str(record["batch"])


def table(found: Iterable[Record], left: int) -> str:
    """Markdown: where it was run, then a row for every line."""
    records = list(found)
    machines = {as_json(own["environment"]): own["environment"] for own in records if "environment" in own}
    where = "; ".join(
        f"{own['device']} ({own['processor']}, {own['threads']} thread, torch {own['torch']})"
        for own in machines.values()
    )
    good = sum(own["state"] == "ok" for own in records)
    less = sum("launches" in own and cut(own) for own in records)
    head = ["line", "parameters", "batch", "memory, GiB", "step, s", "operations a step", "GFLOP a step", "state"]
    rows = [head, ["-"] * len(head), *map(_cells, records)]
    minutes = sum(own.get("cpu", 0.0) for own in records) / 60
    where = where or "nothing yet"
    rest = f"; {left} kinds are still to be run" if left else ""
    words = _WORDS.format(good=good, all=len(records), rest=rest, long=_LONG, cut=less, where=where, minutes=minutes)
    return words + "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _cells(own: Record) -> list[str]:
    if "launches" not in own:
        return [own["line"], *[""] * 6, own["state"]]
    counts = f"{own['launches']:,}", f"{own['gflop']:,.1f}"
    sizes = f"{own['parameters']:,}", _batch(own), f"{own['memory_mb'] / 1024:.2f}", f"{own['seconds']:.3f}"
    return [own["line"], *sizes, *counts, own["state"]]
