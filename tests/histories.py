"""Made-up histories to develop and test the report against. Nothing here is a measured number."""

import dataclasses
import functools
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.examples import pack
from gradsurgery.evidence import scores
from gradsurgery.evidence.contrasts import Contrast, Contrasts
from gradsurgery.evidence.history import Role, Run, numbers_of, parse, settings_of
from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.findings import Finding
from gradsurgery.ledger.judging import Ours
from gradsurgery.ledger.reading import read
from gradsurgery.ledger.verdicts import find
from pipelines._evidence import read_histories
from pipelines._files import read_yaml

Record = dict[str, Any]

IMAGE_METHODS = {
    "sum": 0.0, "mean": 0.0, "pcgrad": 0.002, "cagrad-c0_5": 0.003, "sam_gs": -0.004, "static-30": -0.01,
    "static-70": -0.012, "single_task-left": 0.01, "single_task-right": 0.01,
}  # fmt: skip


# Problems of other kinds: metric -> (level that is reached, whether higher is better), and how many seeds.
OTHERS: dict[str, tuple[dict[str, tuple[float, bool]], int]] = {
    "census": ({"income.auc": (0.74, True), "never_married.auc": (0.79, True)}, 5),
    "cifar100_superclass": ({f"task{k}.accuracy": (0.3 + 0.01 * k, True) for k in range(20)}, 3),
    "cifar100_exits": ({f"exit{k}.accuracy": (0.2 + 0.05 * k, True) for k in range(1, 5)}, 3),
    "cifar100_reconstruction": ({"l1.mae": (0.08, False), "ssim.ssim": (0.6, True)}, 3),
}
OTHER_METHODS = {"sum": 0.0, "pcgrad": 0.03, "cagrad-c0_5": -0.03, "gcond-raw": 0.0}


def image_run(problem: str, method: str, seed: int, shift: float, epochs: int = 4) -> Record:
    """A run whose accuracies rise towards 0.9 + shift; seeds share their noise, so pairing has something to remove."""
    return data_run(
        problem, method, seed, shift, {"left.accuracy": (0.91, True), "right.accuracy": (0.89, True)}, epochs
    )


def data_run(
    problem: str, method: str, seed: int, shift: float, metrics: dict[str, tuple[float, bool]], epochs: int = 4
) -> Record:
    """A run whose metrics improve towards their level, made better by `shift`; a lower-is-better metric falls."""
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, len(method)])
    offset = 0.05 * shared.standard_normal()
    tasks = list(dict.fromkeys(name.split(".")[0] for name in metrics))
    rows = []
    for epoch in range(1, epochs + 1):
        row: Record = {"epoch": epoch}
        gain = shift + offset - 0.5 * 0.4**epoch
        for task in tasks:
            row[f"train.{task}.loss"] = 2.0 * 0.5**epoch + 0.01 * abs(own.standard_normal())
            for name, (level, higher) in metrics.items():
                if name.split(".")[0] == task:
                    for split in ("val", "test"):
                        value = level + (gain if higher else -0.3 * gain)
                        row[f"{split}.{name}"] = float(value + 0.001 * own.standard_normal())
                        row[f"{split}.{task}.loss"] = 1.0 - gain
        rows.append(row)
    declaration: Record = {
        "balancer": {"name": "equal"}, "aggregator": {"name": method.split("-")[0]}, "rule": {"name": "joint"},
        "transform": {"name": "identity"}, "settings": {
            "network": {"name": "lenet", "width": 16, "hidden": 64}, "train_size": 1000,
            "batch_size": 8,
        },
    }  # fmt: skip
    if method.startswith("single_task"):
        declaration["balancer"] = {"name": "single_task", "task": int(method.endswith("right"))}
    if method.startswith(("static", "single_task")):
        declaration["aggregator"] = {"name": "sum"}
    if method == "placebo_permuted":
        declaration["balancer"] = {"name": method}
    if method.startswith("static"):
        weight = int(method.split("-")[1]) / 100
        declaration["balancer"] = {"name": "static", "weights": [weight, 1 - weight]}
    cosines = own.uniform(-0.5, 0.7, 30)
    return {
        "experiment": f"{problem}-{method}", "problem": problem, "seed": seed, "scale": "smoke", "track": "controlled",
        "family": method.split("-")[0], "role": role_of(method), "declaration": declaration, "tasks": tasks,
        "metrics": {name: higher for name, (_, higher) in metrics.items()}, "data_sha256": "0" * 64, "epochs": rows,
        "diagnostics": [
            {"step": 10 * i, "conflict_share": float(c < 0), "mean_cosine": float(c),
             "magnitude_similarity": float(0.5 + abs(c) / 2), "deviation": 0.1, "worst_alignment": float(c)}
            for i, c in enumerate(cosines)
        ],
        "skipped_steps": 0, "trajectory": None,
    }  # fmt: skip


def role_of(method: str) -> Record:
    """What params.yaml would declare a made-up line to be there for."""
    family, *variants = method.split("-")
    if variants[-1:] == ["repeat"]:
        return {"kind": "repeat", "of": "-".join([family, *variants[:-1]])}
    if variants[-1:] == ["half_batches"]:
        return {"kind": "null", "of": "-".join([family, *variants[:-1]])}
    if method == "sum-long" or variants[-1:] == ["equal_passes"]:
        return {"kind": "equal_compute", "of": "pcgrad", "base": "-".join([family, *variants[:-1]])}
    if family.startswith("placebo"):
        return {"kind": "placebo", "of": "pcgrad"}
    if family == "floor":
        return {"kind": "floor", "of": "sum"}
    if method.startswith("recon-sum-"):
        return {"kind": "control", "of": "recon-sum"}
    plain = ("sum", "mean", "static", "single_task", "dwa", "mgda", "uncertainty", "independent")
    return {"kind": "baseline" if family in plain else "study"}


def evidence_of(
    groups: dict[str, list[Run]],
    costs: Any = None,
    papers: Any = None,
    studies: Any = None,
    margin: float | None = None,
) -> Any:
    """What the report reads of made-up runs: everything that `evaluate` makes of them, with the papers' own plans."""
    from gradsurgery.evidence.evaluation import evaluate
    from gradsurgery.report.sources import Sources

    plans = [plan for own in published() for plan in own.contrasts]
    found = evaluate(groups, {}, costs or {}, studies or {}, plans, lambda metric: margin)
    contrasts, whole = Contrasts(found.contrasts), {name: found.scores[name] for name in groups}
    return Sources(
        groups, whole, costs or {}, published() if papers is None else list(papers), {}, {}, studies=studies or {},
        contrasts=contrasts, measured=found.measured,
    )  # fmt: skip


def sources_of(groups: dict[str, list[Run]], margin: float | None = None) -> Any:
    """What the report reads of the scores of made-up runs alone, without what the committed papers ask for."""
    from gradsurgery.report.sources import Sources

    metrics, found = scores.evaluate(groups, {})
    contrasts = Contrasts([dataclasses.replace(c, margin=margin) for c in found])
    return Sources(groups, metrics, {}, [], {}, {}, contrasts=contrasts)


def difference(method: str, low: float, high: float, **fields: Any) -> Contrast:
    """A line minus the sum on three seeds, with this interval and the mean in its middle."""
    named = {"family": "sum", "problem": "p", "method": method, "minus": "sum", "metric": "all.accuracy"}
    terms = {"higher": True, "budget": "equal epochs"}
    return Contrast(**{**named, **terms, "difference": Summary(3, (low + high) / 2, 0.01, low, high), **fields})


def scores_of(groups: Any, selections: Any = None) -> dict[str, dict[str, Any]]:
    """What metrics.json holds of made-up runs."""
    return scores.evaluate(groups, selections or {})[0]


@functools.cache
def published() -> list[Any]:
    """The committed papers."""
    folder = Path(__file__).parents[1] / "data/published"
    return [read(read_yaml(path, "restore it")) for path in sorted(folder.glob("*.yaml"))]


def as_run(record: Record) -> Run:
    """A made-up line as the report sees it, without the checks of one read from a file."""
    return Run(**{**record, "role": Role(**record["role"])})


def with_examples(run: Run, n: int) -> Run:
    """The run with contributions of n test examples to every metric in every epoch.

    A line errs on examples of its own, and on the same ones with every seed: what two samples of examples would give.
    """
    examples = []
    for row in run.epochs:
        values = {}
        for name in run.own_metrics:
            rng, level = np.random.default_rng(zlib.crc32(f"{run.experiment} {name}".encode())), row[f"test.{name}"]
            spread = rng.standard_normal(n)
            values[name] = spread.argsort() < round(level * n) if name.endswith("accuracy") else level + 0.3 * spread
        examples.append({"epoch": row["epoch"], "metrics": pack(Evaluation({}, values), run.own_metrics)})
    return dataclasses.replace(run, examples=examples)


def landscape_run(problem: str, method: str, solved: list[bool]) -> Record:
    """A descent from each start towards (0, -8.4) when solved, or to a point with positive loss when not."""
    starts = np.array([[-8.5, 7.5], [-8.5, -5.0], [0.0, 0.0], [9.0, 9.0], [10.0, -8.0]])[: len(solved)]
    ends = np.where(np.array(solved)[:, None], [0.0, -8.36], starts * 0.6 + [0.0, 1.0])
    steps = [0, 10, 100, 1000]
    theta = [((1 - f) * starts + f * ends).tolist() for f in np.linspace(0, 1, len(steps))]
    last = np.where(np.array(solved)[:, None], -15.09, [2.0, 3.0])
    losses = [((1 - f) * np.full((len(solved), 2), 8.0) + f * last).tolist() for f in np.linspace(0, 1, len(steps))]
    row: Record = {"epoch": 1}
    for split in ("val", "test"):
        row |= {f"{split}.all.loss": float(last.mean()), f"{split}.all.solved": float(np.mean(solved))}
    return {
        "experiment": f"{problem}-{method}", "problem": problem, "seed": 0, "scale": "smoke", "track": "as-published",
        "family": "baselines", "role": {"kind": "baseline"},
        "declaration": {"balancer": {"name": "equal"}, "aggregator": {"name": method}},
        "tasks": ["first", "second"], "metrics": {"all.loss": False, "all.solved": True}, "data_sha256": "0" * 64,
        "epochs": [row], "diagnostics": [], "skipped_steps": 0,
        "trajectory": {"steps": steps, "theta": theta, "losses": losses,
                       "first_solved": [900 if s else None for s in solved]},
    }  # fmt: skip


# Level on the test set, and on validation by seed where it is another, of the lines of two dialled problems.
DIALLED: dict[str, dict[str, tuple[float, tuple[float, ...]]]] = {
    "dial_r1": {
        "sum": (0.80, ()), "pcgrad": (0.79, ()), "single_task-head_1": (0.84, ()), "single_task-head_2": (0.86, ()),
    },
    "dial_r4": {
        "sum": (0.70, ()), "pcgrad": (0.74, ()), "placebo_random": (0.68, ()), "static-80": (0.79, (0.8, 0.8, 0.6)),
    },
}  # fmt: skip


def dialled() -> dict[str, list[Run]]:
    """Runs of the module `dial` on three seeds: PCGrad and its placebo spread by a tenth of a point, the others by
    nothing; cosines of -0.3 but for one step."""
    found = {}
    for problem, lines in DIALLED.items():
        for method, (level, validation) in lines.items():
            found[f"{problem}-{method}"] = [
                as_run(_dialled(problem, method, seed, level, validation)) for seed in range(3)
            ]
    return found


def _dialled(problem: str, method: str, seed: int, level: float, validation: tuple[float, ...]) -> Record:
    tasks = ("head_1", "head_2")
    record = data_run(problem, method, seed, 0.0, {f"{task}.accuracy": (level, True) for task in tasks}, 1)
    spread = 0.001 * (seed - 1) if method in ("pcgrad", "placebo_random") else 0.0
    for task in tasks:
        record["epochs"][0] |= {
            f"test.{task}.accuracy": level + spread, f"val.{task}.accuracy": validation[seed] if validation else level,
        }  # fmt: skip
    settings = {"num_tasks": 2, "cosine": -0.5, "ratio": float(problem[-1]), "optimizer": "adam", "batch_size": 128}
    record["declaration"] |= {"module": "dial", "settings": settings | {"train_size": 12800}}
    if method.startswith("single_task"):
        record["declaration"]["balancer"] = {"name": "single_task", "task": int(method[-1]) - 1}
    for row in record["diagnostics"]:
        row["mean_cosine"] = -0.3 if row["step"] else 0.9
    return record | {"test_rows": 10_000}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with made-up histories and costs of one image problem and one landscape, as `train` would leave them."""
    problem = "multi_fashion_mnist"
    groups = [[image_run(problem, m, seed, shift) for seed in range(3)] for m, shift in IMAGE_METHODS.items()]
    groups += [[landscape_run("cagrad_toy", "mean", [False, True, True, False, True])],
               [landscape_run("cagrad_toy", "cagrad-c0_5", [True] * 5)]]  # fmt: skip
    for group in groups:
        keep(tmp_path, group)
    return tmp_path


@pytest.fixture
def others(checkout: Path) -> Path:
    """The made-up checkout and four problems more: areas under curves, twenty tasks, exits, an error with a similarity.

    One method logs router rows without cosines, and one history is of today's format with layers and test rows.
    """
    for problem, (metrics, seeds) in OTHERS.items():
        for method, shift in OTHER_METHODS.items():
            group = [data_run(problem, method, seed, shift, metrics) for seed in range(seeds)]
            for run in group:
                run |= {"layers": None, "test_rows": 2000}
                sizes = dict.fromkeys(("train_size", "val_size", "test_size", "batch_size"), 2000)
                run["declaration"]["settings"] |= sizes | {
                    "epochs": 4,
                    "network": {"name": "cnn", "width": 8, "hidden": 16},
                }
                if method == "gcond-raw":
                    run["diagnostics"] = [
                        {"step": 0, "router": 0.5},
                        *run["diagnostics"][1:5],
                        {"step": 300, "router": 0.9},
                    ]
            keep(checkout, group)
    return checkout


def keep(root: Path, group: list[Record]) -> None:
    """History and costs of one experiment."""
    name, folder = group[0]["experiment"], f"{group[0]['scale']}/{group[0]['family']}"
    for kind in ("history", "costs"):
        (root / "reports" / kind / folder).mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(run, sort_keys=True, separators=(",", ":")) for run in group]
    (root / f"reports/history/{folder}/{name}.jsonl").write_text("\n".join(lines) + "\n")
    cost = {"seconds": 12.5, "step_ms": 4.0 + len(name) / 10, "steps": 300, "backward_passes_per_step": 2,
            "peak_memory_mb": 512.0}  # fmt: skip
    environment = {"python": "3.11.0", "torch": "2.13.0", "platform": "Linux", "processor": "made up", "cores": 2,
                   "threads": 1, "device": "cpu"}  # fmt: skip
    seeds = {str(run["seed"]): {**cost, "fingerprint": "f", "numbers": numbers_of(run)} for run in group}
    parts = {"settings": settings_of(group[0]["declaration"], group[0]["scale"])}
    record = {"experiment": name, "environment": environment, "seeds": seeds, "fingerprints": {"f": parts}}
    (root / f"reports/costs/{folder}/{name}.json").write_text(json.dumps(record))


@pytest.fixture
def made_up() -> Callable[..., Record]:
    """The generator of one image run, for tests that need a particular one."""
    return image_run


@pytest.fixture
def laptop(checkout: Path) -> Path:
    """The made-up checkout as if it had run at laptop scale, where landscapes have their full length."""
    for path in checkout.glob("reports/history/*/*/*.jsonl"):
        runs = [json.loads(line) | {"scale": "laptop"} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(run) + "\n" for run in runs))
    return checkout


@pytest.fixture
def findings(checkout: Path) -> dict[str, list[Finding]]:
    """The committed ledger, judged on the made-up checkout."""
    groups = read_histories(checkout / "reports/history")
    return find(published(), Ours(groups, scores_of(groups, {})))


def pair(
    laptop: Path, metric: str, scale: float = 1.0, worst: bool = False, word: str = "accuracy"
) -> tuple[dict, dict]:
    """The image problem with its accuracies under another name, scaled, turned round where lower is better."""
    groups = {}
    for name, runs in read_histories(laptop / "reports/history").items():
        if not name.startswith("multi_fashion_mnist-"):
            continue
        groups[name] = [
            dataclasses.replace(
                run,
                metrics={f"{task}.{metric}": not worst for task in run.tasks},
                epochs=[
                    {k.replace(word, metric): scale * (1 - v if worst else v) if word in k else v for k, v in e.items()}
                    for e in run.epochs
                ],
            )
            for run in runs
        ]
    return groups, scores_of(groups, {})


RANKED = ("one", "two", "three")
FOUR = {f"t{k}.accuracy": (0.5, True) for k in range(4)}


def ranked(
    shifts: dict[str, float],
    problems: tuple[str, ...] = RANKED,
    edit: Callable[[Record], Any] = lambda _: None,
    metrics: dict[str, tuple[float, bool]] = FOUR,
) -> Any:
    """The report's sources of one set of lines on several problems, on three seeds; `edit` may change every record."""
    groups = {}
    for problem in problems:
        for method, shift in shifts.items():
            records = [data_run(problem, method, seed, shift, metrics) for seed in range(3)]
            for record in records:
                edit(record)
            if all(record.get("kept", True) for record in records):
                groups[f"{problem}-{method}"] = [
                    as_run({k: v for k, v in record.items() if k != "kept"}) for record in records
                ]
    return evidence_of(groups, {})


@pytest.fixture
def experiments(made_up: Callable[..., dict]) -> Callable[..., dict[str, list[Run]]]:
    """Runs by experiment from shifts by method; `edit` may change every record."""

    def build(
        shifts: dict[str, float], seeds: int = 5, edit: Callable[[dict], Any] | None = None, examples: int = 0
    ) -> dict[str, list[Run]]:
        made = {}
        for method, shift in shifts.items():
            records = [made_up("p", method.removesuffix("-repeat"), seed, shift) for seed in range(seeds)]
            for record in records:
                record |= {"experiment": f"p-{method}", "role": role_of(method)}
                if edit is not None:
                    edit(record)
            read = parse([json.dumps(record) for record in records], method)
            made[f"p-{method}"] = [with_examples(run, examples) for run in read] if examples else read
        return made

    return build
