"""Every method, balancer, rule, transform, network and problem, each as a run of two steps. New files are found.

`CONFIGURATIONS` maps a name such as "aggregators/pcgrad" to a declaration and the arrays it reads, or for a network
that no problem of the house uses to the network alone. Each run is one epoch of two batches (of `dr_mgf`: of two for
every stage), diagnosed at its first step, and evaluated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradsurgery.core.discovery import available, build
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.layers import as_evidence, shared_layers
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators
from gradsurgery.experiment import build_learner
from gradsurgery.problems.landscape import STARTS
from gradsurgery.problems.superclass import TASKS
from tests.arms import SETTINGS as ARMS
from tests.arms import goals, goals_of_fifty
from tests.contracts import MORE, REQUIRED

# Methods with other settings, where these take another path through the device.
AGGREGATORS: dict[str, tuple[str, dict[str, Any]]] = {
    **MORE,
    "gcond-always": ("gcond", {"thresholds": [-0.9, 0.5, 1.0], "dominance_window": 2}),
    "gcond-lion": ("gcond", {"thresholds": [-0.9, 0.5, 1.0], "output": "lion"}),
    "gcond-zones": ("gcond", {"thresholds": [-0.9, 0.9, 1.0], "mode": "zones", "previous": "raw", "output": "raw"}),
    "gcond-bfloat16": ("gcond", {"thresholds": [-0.9, 0.5, 1.0], "buffers": "bfloat16", "norm_cap": 0.1}),
    "gcond-none": ("gcond", {"max_iters": 0}),
    **{f"torchjd-{method}": ("torchjd", {"method": method, "options": options}) for method, options in {
        "aligned_mtl": {}, "cagrad": {"c": 0.5}, "config": {}, "dualproj": {}, "fairgrad": {"alpha": 1.0},
        "graddrop": {}, "gradvac": {}, "mean": {}, "mgda": {}, "nash_mtl": {}, "pcgrad": {}, "random": {},
        "sum": {}, "trimmed_mean": {"trim_number": 0}, "upgrad": {},
    }.items()},
}  # fmt: skip
BALANCERS = {
    "static": {"weights": [1.0, 2.0]},
    "single_task": {"task": 1},
    "growing_weights": {"limits": [0.4, 1.0], "epochs": 4},
}
_MLP = {"name": "mlp", "hidden": [16, 8]}
_ACTING = {"rule": {"name": "sac"}}


@dataclass(frozen=True)
class Run:
    """What `learner` makes a run of, on any device."""

    problem: str = "overlay"
    settings: Mapping[str, Any] = field(default_factory=dict)
    slots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] | None = None
    evidence: bool = False


def _rules() -> dict[str, Run]:
    split = {"network": {"name": "recommender", "variant": "split", "width": 8}, "sizes": {"tower": 8}}
    towers = {"network": {"name": "recommender", "variant": "ple", "experts": 3, "width": 8, "equal_capacity": False}}
    norms = {"network": {"name": "lenet", "variant": "cagrad"}}
    runs = {
        "split_batches": ("overlay", {}, {}),
        "descent": ("landscape", {}, {}),
        "dr_mgf": ("overlay", norms, {"aux_policy": "line_scan", "gate_epochs": 1}),
        "dr_mgf-code": ("overlay", norms, {"gate_epochs": 1, "order": "reversed", "compat": [
            "gate_first_call_only", "renormalise_private", "keep_buffers_between_tasks"]}),
        "dr_mgf-average": ("overlay", norms, {"fusion": "average", "gate_epochs": 0}),
        "dr_mgf-sigmoid": ("overlay", norms, {"fusion": "sigmoid", "gate": False, "gate_epochs": 0}),
        "drgrad": ("census", split, {}),
        "drgrad-per_tensor": ("census", split, {"scope": "per_tensor", "pairing": "matched", "updater": "mean"}),
        "drgrad-first_kernel": ("census", split, {"scope": "first_kernel", "updater": "frozen"}),
        "drgrad_code": ("census", towers, {}),
        "drgrad_code-cosine": ("census", towers, {"similarity": "cosine"}),
        "floor": ("census", towers, {"iterations": 20}),
        "joint": ("overlay", {}, {}),
        "sac": ("metaworld", {}, {}),
    }  # fmt: skip
    return {
        label: Run(problem, settings, {"rule": {"name": label.partition("-")[0], **fields}})
        for label, (problem, settings, fields) in runs.items()
    }


def _transforms() -> dict[str, Run]:
    runs = {"identity": {}, "recon": {"k": 1}, "recon-copy": {"k": 1, "branch_init": "copy", "selection": "last"}}
    return {
        label: Run(slots={"transform": {"name": label.partition("-")[0], **fields}}, evidence=label == "recon")
        for label, fields in runs.items()
    }


def _networks() -> dict[str, Run]:
    exits = {"exits": 3, "num_classes": 4}
    variants = {
        f"recommender-{variant}": Run("census", {"network": {"name": "recommender", "variant": variant, "width": 8}})
        for variant in ("shared_bottom", "mmoe", "omoe", "ple")
    }
    split = {"name": "recommender", "variant": "split", "width": 8, "personal": [0], "mix": "probability"}
    return variants | {
        "actor_critic": Run("metaworld", slots=_ACTING),
        "autoencoder": Run("reconstruction", {"network": {"name": "autoencoder", "width": 6, "depth": 1}}),
        "autoencoder-frozen": Run("reconstruction", {
            "network": {"name": "autoencoder", "width": 6, "depth": 1, "norm": "frozen"}}),
        "celeba_cnn": Run("celeba"),
        "wide_resnet": Run("arml"),
        "msdnet_imagenet": Run("imagenet_exits"),
        "mobilenet_raspp": Run("pascal_context"),
        "masked_autoencoder": Run("imagenet_mae"),
        "sdn_vgg": Run("multi_exit", {"network": {"name": "sdn_vgg", "width": 2}}),
        "celeba_resnet": Run("celeba", {"network": {"name": "celeba_resnet", "width": 2}}),
        "cnn": Run("superclass"),
        "cnn-separate": Run("superclass", {"network": {"name": "cnn", "width": 2, "hidden": 4, "trunk": "separate"}}),
        "cross_stitch": Run(network={"name": "cross_stitch", "outputs": [2, 1], "width": 2}),
        "dense_segnet": Run(network={"name": "dense_segnet", "outputs": [2, 1], "width": 2}),
        "fixed_heads": Run("dial"),
        "lenet": Run(settings={"network": {"name": "lenet"}}),
        "lenet-cagrad": Run(settings={"network": {"name": "lenet", "variant": "cagrad"}}),
        "mlp": Run(),
        "msdnet": Run("multi_exit", exits | {"network": {
            "name": "msdnet", "base": 2, "step": 1, "growth": 4, "width": 4, "exit_width": 8}}),
        "mtan": Run(network={"name": "mtan", "outputs": [2, 1], "width": 2}),
        "point": Run("landscape"),
        "recommender": Run("census", {"network": split}),
        "resnet": Run(settings={"network": {"name": "resnet", "width": 4}}),
        "sdn_resnet": Run("multi_exit"),
        "separate": Run(network={"name": "separate", "of": "mtan", "outputs": [2, 1], "width": 2}),
        "split_segnet": Run(network={"name": "split_segnet", "outputs": [2, 1], "width": 2}),
        "task_actor_critic": Run(
            "metaworld", {"network": {"name": "task_actor_critic", "width": 8, "depth": 1}}, slots=_ACTING
        ),
        "tied_head": Run("dial", {"network": {"name": "tied_head", "width": 2}, "cosine": None, "permuted": 5}),
        "segnet": Run(network={"name": "segnet", "outputs": [2, 1], "width": 2}),
    }  # fmt: skip


def configurations() -> dict[str, Run]:
    methods = {name: (name, REQUIRED.get(name, {})) for name in available("aggregators")} | AGGREGATORS
    balancers = {name: BALANCERS.get(name, {}) for name in available("balancers")}
    kinds: dict[str, dict[str, Run]] = {
        "aggregators": {
            label: Run(slots={"aggregator": {"name": name, **fields}}) for label, (name, fields) in methods.items()
        },
        "balancers": {name: Run(slots={"balancer": {"name": name, **fields}}) for name, fields in balancers.items()},
        "rules": _rules(),
        "transforms": _transforms(),
        "networks": _networks(),
        "problems": {
            name: Run(name, slots=_ACTING if name.startswith("metaworld") else {}) for name in available("problems")
        },
    }
    kinds["aggregators"]["torchjd-krum"] = Run(  # needs three tasks
        "multi_exit", slots={"aggregator": {"name": "torchjd", "method": "krum", "options": {"n_byzantine": 0}}}
    )
    found = {f"{kind}/{label}": run for kind, runs in kinds.items() for label, run in runs.items()}
    watched = {
        f"{name}+observed": replace(found[name], options={"observe_layers": True, "half_batches": halves})
        for name, halves in (("rules/joint", True), ("rules/drgrad", False))
    }
    for name, run in found.items():
        if name.startswith("aggregators/") and "torchjd" not in name:
            watched[f"{name}+observed"] = replace(run, options={"observe_layers": True, "score_layers": [0.0]})
    return found | watched


def learner(run: Run, device: torch.device | str) -> Learner:
    """The run, ready for its one epoch. Weights are drawn on the CPU, so that they are the same on every device."""
    if run.network is not None:
        return _alone(run.network, device)
    slots = {
        "transform": {"name": "identity"}, "balancer": {"name": "equal"}, "rule": {"name": "joint"},
        "aggregator": {"name": "sum"}, **run.slots,
    }  # fmt: skip
    settings = {**_SETTINGS[run.problem], **run.settings}
    declaration = {
        "problem": run.problem, "module": run.problem, "settings": settings,
        "learner": {"diagnose_every": 2, **run.options}, **slots,
    }  # fmt: skip
    evidence = None
    if run.evidence:
        problem = build("problems", run.problem, arrays=_arrays(run.problem), **settings)
        names = list(shared_layers(problem.network(torch.Generator())))
        evidence = as_evidence(names, [0.0], [np.arange(len(names))[:, None]])
    return build_learner(declaration, _arrays(run.problem), 0, device=device, evidence=evidence)


class _Maps(Problem):
    """Two maps of one picture, each to be zero: for networks of problems whose data cannot be had."""

    def __init__(self, network: Mapping[str, Any]):
        self.tasks, self.metrics, self.epochs, self.clip = ("first", "second"), {}, 1, 1.0
        self._network = dict(network)

    def network(self, generator: torch.Generator) -> Network:
        fields = dict(self._network)
        return build("networks", fields.pop("name"), **fields)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, 0.1)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> None:
        return None

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Any]:
        for _ in range(2):
            yield torch.from_numpy(order.standard_normal((2, 3, 40, 36), dtype=np.float32))

    def losses(self, network: Network, batch: Any) -> list[Tensor]:
        return [output.square().mean() for output in network(batch)]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        return Evaluation({})


def _alone(network: Mapping[str, Any], device: torch.device | str) -> Learner:
    torch.manual_seed(0)
    problem, parts = _Maps(network), {"rules": "joint", "balancers": "equal", "aggregators": "sum"}
    rule, balancer, method = (build(kind, name) for kind, name in parts.items())
    generators = Generators(0)
    return Learner(
        problem, problem.network(generators.init), rule, balancer, method, generators, device=device, diagnose_every=2
    )


_SETTINGS: dict[str, dict[str, Any]] = {
    "census": {"network": {"name": "recommender", "width": 8}, "epochs": 1, "batch_size": 32},
    "dense": {
        "network": {"name": "segnet", "width": 2}, "epochs": 1, "batch_size": 2, "scene": "camvid", "augment": "swap",
    },
    "dense_by_picture": {
        "network": {"name": "segnet", "width": 2}, "epochs": 1, "batch_size": 2, "scene": "cityscapes",
    },
    "dial": {
        "network": {"name": "fixed_heads", "width": 2}, "epochs": 1, "batch_size": 16, "cosine": -0.5, "ratio": 4.0,
    },
    "landscape": {"landscape": "cagrad_toy", "steps": 2, "epochs": 1},
    "metaworld": ARMS | {"episodes": 3, "horizon": 1, "warmup": 2, "val_size": 1, "test_size": 1},
    "metaworld_fifty": ARMS | {"episodes": 3, "horizon": 1, "warmup": 2, "val_size": 1, "test_size": 1},
    "multi_exit": {
        "network": {"name": "sdn_resnet", "depth": 14, "width": 4}, "exits": 3, "num_classes": 4, "epochs": 1,
        "batch_size": 8, "momentum": 0.9, "lr": 0.01,
    },
    "overlay": {
        "network": _MLP, "epochs": 1, "batch_size": 16, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "clip": 5.0,
    },
    "reconstruction": {"network": {"name": "autoencoder", "width": 6, "depth": 1}, "epochs": 1, "batch_size": 8},
    "superclass": {"network": {"name": "cnn", "width": 2, "hidden": 4}, "epochs": 1, "batch_size": 2, "lr": 0.01},
    "synthetic": {"network": {"name": "recommender", "width": 8}, "epochs": 1, "batch_size": 32},
    "arml": {
        "network": {"name": "wide_resnet", "depth": 10, "width": 1}, "epochs": 1, "batch_size": 8, "num_classes": 4,
        "labelled": 4, "steps": 2,
    },
    "imagenet_exits": {
        "network": {"name": "msdnet_imagenet", "base": 1, "step": 1, "growth": 4, "width": 4}, "exits": 3,
        "num_classes": 4, "size": 64, "epochs": 1, "batch_size": 8,
    },
    "imagenet_mae": {
        "network": {"name": "masked_autoencoder", "width": 8, "heads": 2, "depth": 1}, "size": 64, "epochs": 1,
        "batch_size": 8, "classify": True, "num_classes": 4,
        "lr": 1e-7,  # biases before a normalisation have no gradient but rounding, of which Adam makes whole steps
    },
    "ct_mae": {
        "network": {"name": "masked_autoencoder", "width": 8, "heads": 2, "depth": 1, "channels": 1}, "size": 64,
        "epochs": 1, "batch_size": 8, "lr": 1e-7,  # likewise
    },
    "pascal_context": {
        "network": {"name": "mobilenet_raspp", "width": 4}, "epochs": 1, "batch_size": 8, "test_batch": 4,
        "augment": "none", "optimizer": "sgd", "lr": 0.01,
    },
    "celeba": {"network": {"name": "celeba_cnn", "width": 2}, "epochs": 1, "batch_size": 8},
    "celeba_pretrained": {"network": {"name": "celeba_resnet", "width": 2}, "epochs": 1, "batch_size": 8},
    "qm9": {"network": {"name": "mlp", "hidden": (8,)}, "epochs": 1, "batch_size": 16},
    "yeast": {"network": {"name": "recommender", "width": 8}, "epochs": 1, "batch_size": 32},
}  # fmt: skip


@cache
def _arrays(problem: str) -> dict[str, np.ndarray]:
    """Arrays in the form that the problem's `prepare` returns, just enough for two batches."""
    rng = np.random.default_rng(0)
    if problem == "landscape":
        return {"starts": np.array(STARTS["cagrad_toy"])}
    if problem == "metaworld_fifty":
        return goals_of_fifty()
    if problem == "metaworld":
        return goals()
    batch = int(_SETTINGS[problem]["batch_size"])
    arrays: dict[str, np.ndarray] = {}
    held_out = 12 if problem in ("census", "synthetic", "yeast") else 4  # an area under a curve needs both classes
    for split, n in (("train", 2 * batch), ("val", held_out), ("test", held_out)):
        if problem == "overlay":
            arrays[f"{split}_images"] = rng.integers(0, 255, (n, 36, 36)).astype(np.uint8)
            arrays[f"{split}_labels"] = rng.integers(0, 10, (n, 2)).astype(np.uint8)
        elif problem == "dial":
            arrays[f"{split}_images"] = rng.integers(0, 255, (n, 28, 28)).astype(np.uint8)
            arrays[f"{split}_labels"] = rng.integers(0, 10, n).astype(np.uint8)
        elif problem == "dense":
            arrays[f"{split}_images"] = rng.integers(0, 255, (n, 32, 32, 3)).astype(np.uint8)
            for name, least, most in (("segmentation", -1, 11), ("boundary", -1, 2), ("distance", -1, 201)):
                arrays[f"{split}_{name}"] = rng.integers(least, most, (n, 32, 32)).astype(np.int16)
        elif problem == "dense_by_picture":
            arrays[f"{split}_images"] = rng.random((n, 32, 32, 3)).astype(np.float32)
            arrays[f"{split}_segmentation"] = rng.integers(-1, 7, (n, 32, 32)).astype(np.int8)
            arrays[f"{split}_depth"] = rng.random((n, 32, 32, 1)).astype(np.float32)
        elif problem == "superclass":
            arrays[f"{split}_images"] = rng.integers(0, 255, (n, len(TASKS), 32, 32, 3)).astype(np.uint8)
            places = [np.tile(np.arange(len(TASKS)), (n, 1)), rng.integers(0, 5, (n, len(TASKS)))]
            arrays[f"{split}_labels"] = np.stack(places, axis=-1).astype(np.uint8)
        elif problem in ("census", "synthetic"):
            numbers, categories = (7, 32) if problem == "census" else (26, 6)
            arrays[f"{split}_continuous"] = rng.standard_normal((n, numbers)).astype(np.float32)
            arrays[f"{split}_nominal"] = rng.integers(0, 5, (n, categories)).astype(np.uint8)
            arrays[f"{split}_labels"] = (rng.permutation(2 * n).reshape(n, 2) % 2).astype(np.uint8)
            arrays |= {"cardinalities": np.full(categories, 5), "correlations": np.array([0.5, 0.5])}
        elif problem in ("celeba", "celeba_pretrained"):
            arrays["trunk"] = rng.random(11790).astype(np.float32)  # the numbers of a ResNet-18 of width 2
            arrays[f"{split}_images"] = rng.integers(0, 255, (n, 64, 64, 3)).astype(np.uint8)
            arrays[f"{split}_labels"] = rng.integers(0, 2, (n, 40)).astype(np.uint8)
        elif problem == "pascal_context":
            arrays[f"{split}_images"] = rng.integers(0, 255, (n, 32, 32, 3)).astype(np.uint8)
            for name, most in (("segmentation", 21), ("parts", 7), ("saliency", 2)):
                arrays[f"{split}_{name}"] = rng.integers(0, most, (n, 32, 32)).astype(np.int8)
            arrays[f"{split}_normal"] = rng.integers(-127, 128, (n, 32, 32, 3)).astype(np.int8)
            arrays["trunk"] = (0.05 * rng.standard_normal(1_843_264) ** 2).astype(np.float32)
        elif problem == "qm9":
            arrays[f"{split}_features"] = rng.standard_normal((n, 305)).astype(np.float32)
            arrays[f"{split}_targets"] = rng.standard_normal((n, 11)).astype(np.float32)
        elif problem == "yeast":
            arrays[f"{split}_continuous"] = rng.standard_normal((n, 103)).astype(np.float32)
            arrays[f"{split}_nominal"] = np.empty((n, 0), np.uint8)
            arrays[f"{split}_labels"] = rng.permuted(np.tile(np.arange(n) % 2, (14, 1)), axis=1).T.astype(np.uint8)
            arrays["cardinalities"] = np.empty(0, np.int64)
        else:
            arrays[f"{split}_images"] = rng.integers(0, 255, (n, 32, 32, 3)).astype(np.uint8)
            arrays[f"{split}_labels"] = (rng.permutation(n) % 4).astype(np.uint8)
            if split != "train":
                places = 4 if problem in ("imagenet_mae", "ct_mae") else 64
                arrays[f"{split}_patches"] = rng.permuted(np.tile(np.arange(places), (n, 1)), axis=1).astype(np.uint8)
    return arrays


CONFIGURATIONS = configurations()
