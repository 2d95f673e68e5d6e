"""From a declaration (a plain dictionary) to a run, and from a run to its history: the only place that joins the parts.

    {"problem": "multi_mnist", "module": "overlay", "settings": {"network": {"name": "lenet"}, "epochs": 3, ...},
     "transform": {"name": "identity"}, "balancer": {"name": "equal"}, "rule": {"name": "joint"},
     "aggregator": {"name": "pcgrad", "order": "fixed"}}

`learner` may be added: {"precision": "bfloat16", "diagnose_every": 100, "score_layers": [0.0, -0.1]}, and for a
transform that reads it, `evidence`: the name of the experiment whose layer scores it is made from.

Numbers are the same to the bit on one machine because everything that could change them is fixed here, for the whole
process: torch runs on a stated number of threads (sums depend on how they are split) and on deterministic kernels, with
cuDNN's search for the fastest one off. On a GPU this costs speed, and torch refuses what it cannot do
deterministically. Other machines may differ in the last bits.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gradsurgery.core.activity import of_split
from gradsurgery.core.declaration import parts_of
from gradsurgery.core.divergence import finite_or_null
from gradsurgery.core.layers import as_evidence
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators
from gradsurgery.core.shards import divided


def build_learner(
    declaration: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    seed: int,
    device: str | torch.device = "cpu",
    threads: int = 1,
    evidence: Mapping[str, Any] | None = None,
) -> Learner:
    """A run, ready for its first epoch or for `load_state_dict`.

    Args:
        declaration: what is run; see the module.
        arrays: what the problem's `prepare` returned.
        seed: of all generators.
        device: where the network lives; a rule that is `cpu_only` runs on the CPU all the same.
        threads: threads of torch, for the whole process; part of what makes two runs equal.
        evidence: what `evidence_of` made of the histories of the experiment that the declaration names.
    """
    parts = parts_of(declaration, arrays)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Every buffer of ours is written before it is read.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # without it torch refuses deterministic products on CUDA
    generators = Generators(seed)
    given = parts.problem.network(generators.init)
    network = parts.transform(given, evidence, generators.transform)
    learner = Learner(
        divided(parts.problem, parts.rule),
        network,
        parts.rule,
        parts.balancer,
        parts.method,
        generators,
        device="cpu" if parts.rule.cpu_only else device,
        **parts.options,
    )
    learner.report(of_split(given, network))
    return learner


def history(
    learner: Learner,
    declaration: Mapping[str, Any],
    *,
    experiment: str,
    seed: int,
    scale: str,
    track: str,
    role: Mapping[str, str],
    family: str,
    data_sha256: str | Mapping[str, str],
) -> dict[str, Any]:
    """The line that a finished run leaves in `reports/history`: see docs/architecture.md. Free of clock and machine.

    Fit for strict JSON: a number that is not finite is None.
    """
    line = {
        "experiment": experiment,
        "problem": declaration["problem"],
        "seed": seed,
        "scale": scale,
        "track": track,
        "role": dict(role),
        "family": family,
        "declaration": dict(declaration),
        "tasks": list(learner.problem.tasks),
        "metrics": dict(learner.problem.metrics),
        "data_sha256": data_sha256,
        "test_rows": learner.problem.test_rows,
        "epochs": learner.epochs,
        "examples": None if learner.diverged else learner.examples.history(),
        "diagnostics": learner.diagnostics,
        "skipped_steps": learner.skipped_steps,
        "trajectory": learner.rule_state.get("trajectory"),
        **learner.instruments.history(learner.step_count),
        "diverged": learner.diverged,
    }
    return dict(finite_or_null(line))


def evidence_of(histories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The layer scores of an experiment, added over its epochs and the seeds that did not diverge, for a transform.

    Raises:
        ValueError: there is no history, it holds no layer scores, or every seed diverged.
    """
    records = [line["layers"] for line in histories if line.get("layers") and line.get("diverged") is None]
    if not records:
        what = "seeds that diverged only" if any(line.get("layers") for line in histories) else "no layer scores in it"
        raise ValueError(f"`evidence` must be an experiment with `learner.score_layers`, found {what}.")
    counts = [np.array(epoch) for record in records for epoch in record["scores"]]
    return as_evidence(records[0]["names"], records[0]["thresholds"], counts)
