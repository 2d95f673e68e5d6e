"""What several processes are held against one on: every aggregator, balancer, rule and transform, found by name."""

import numpy as np
import torch

from gradsurgery.core.discovery import available
from gradsurgery.experiment import build_learner

NEEDED = {
    "static": {"weights": [1.0, 3.0]}, "single_task": {"task": 1},
    "growing_weights": {"limits": [0.4, 1.0], "epochs": 2},
    "torchjd": {"method": "imtl_g"}, "recon": {"k": 1},
}  # fmt: skip
IMAGES = {"network": {"name": "mlp", "hidden": [16, 8]}, "optimizer": "sgd", "momentum": 0.9}
TABLE = {"network": {"name": "recommender", "variant": "split", "width": 8, "tower": 6, "embedding": 2}}
PLE = TABLE["network"] | {"variant": "ple"}
NORMALISED = {"network": {"name": "lenet", "variant": "cagrad"}, "lr": 1e-3}
EVIDENCE = {"thresholds": [0.0], "scores": {"trunk.1": [3], "trunk.3": [1]}}


def _slot(name):
    return {"name": name, **NEEDED.get(name, {})}


def declared(aggregator="pcgrad", balancer="equal", rule="joint", transform="identity", settings=None, **learner):
    """A line: on random pictures, or on a table for the rules that need towers."""
    slots = {"aggregator": aggregator, "balancer": balancer, "rule": rule, "transform": transform}
    slots = {key: _slot(value) if isinstance(value, str) else value for key, value in slots.items()}
    table = slots["rule"]["name"].startswith(("drgrad", "floor"))
    own = (
        (TABLE if table else IMAGES) | {"epochs": 3, "train_size": 48, "batch_size": 16, "lr": 0.05} | (settings or {})
    )
    if slots["rule"]["name"] == "drgrad_code":
        own["network"] = PLE
    module = "census" if table else "overlay"
    return {"problem": module, "module": module, "settings": own, **slots, "learner": {"diagnose_every": 2} | learner}


def lines():
    """Names and declarations of everything that a run can be made of."""
    found = {f"aggregators/{name}": declared(name) for name in available("aggregators")}
    found |= {f"balancers/{name}": declared(balancer=name) for name in available("balancers")}
    found |= {f"rules/{name}": declared("sum", rule=name) for name in available("rules")}
    found |= {f"transforms/{name}": declared(transform=name) for name in available("transforms")}
    stochastic = {"name": "joint", "micro_batches": 2, "accumulation": "stochastic", "leftover": "average"}
    return found | {
        "micro_batches": declared("gcond", rule={"name": "joint", "micro_batches": 2, "leftover": "average"}),
        "stochastic": declared("gcond", rule=stochastic),
        "placebo_permuted": declared(balancer="placebo_permuted", rule="split_batches"),
        "uneven": declared(balancer="log_loss", settings={"batch_size": 15}),
        "clip": declared("cagrad", settings={"clip": 0.5}),
        "observed": declared("sum", score_layers=[0.0, -0.1], observe_layers=True, half_batches=True),
        "shared statistics": declared(settings=NORMALISED, sync_batchnorm=True),
        "own statistics": declared(settings=NORMALISED),
    }


def arrays():
    """Random pictures, and a table of numbers and categories, by problem."""
    rng = np.random.default_rng(0)
    images, table = {}, {"cardinalities": np.full(32, 5)}
    for split, n in (("train", 64), ("val", 16), ("test", 16)):
        images[f"{split}_images"] = rng.integers(0, 255, (n, 36, 36)).astype(np.uint8)
        images[f"{split}_labels"] = rng.integers(0, 10, (n, 2)).astype(np.uint8)
        table[f"{split}_continuous"] = rng.standard_normal((n, 7)).astype(np.float32)
        table[f"{split}_nominal"] = rng.integers(0, 5, (n, 32)).astype(np.uint8)
        table[f"{split}_labels"] = rng.integers(0, 2, (n, 2)).astype(np.uint8)
    return {"overlay": images, "census": table}


def trained(declaration):
    """A line trained for three epochs: parameters, numbers by epoch and of the diagnostics; or why it was refused."""
    try:
        learner = build_learner(declaration, arrays()[declaration["module"]], 0, evidence=EVIDENCE)
        rows = [learner.epoch() for _ in range(3)]
    except (ValueError, ImportError) as error:
        return str(error)
    parameters = torch.cat([p.detach().reshape(-1) for p in learner.network.parameters()])
    return parameters, rows, learner.diagnostics, learner.instruments.history(learner.step_count)
