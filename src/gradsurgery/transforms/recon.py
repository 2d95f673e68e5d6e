"""Recon: the layers in which the tasks conflict most become task-specific."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gradsurgery.core.interfaces import ModelTransform, Network
from gradsurgery.core.layers import ranked, shared_layers
from gradsurgery.transforms._streams import branch
from gradsurgery.transforms._tracing import outputs, trace


@dataclass(frozen=True)
class Recon(ModelTransform):
    """Gives every task its own copy of k shared layers; any aggregator then works on what is still shared.

    Source: Algorithm 1 and section 4 of Shi et al., "Recon: Reducing Conflicting Gradients from the Root for
    Multi-Task Learning", ICLR 2023, arXiv 2302.11289. The official code has no licence and was not used.

    An earlier experiment counts, layer by layer, the pairs of tasks whose gradients have a cosine below S
    (`core/layers.py`). The k layers with the highest count are copied, one for each task, and the new network is
    trained from scratch.

        X is a stream set of size 1 or K.  Copied layer: Y_t = m_t(X_t).  Shared layer: Y_t = m(X_t), once if |X| = 1.
        Operations on several values: those of size 1 are broadcast.  Head of task t: reads X_t.

    What lies before the first copied layer runs once, and what lies behind it once per task: a shared normalisation
    there takes statistics of each stream apart and K updates of its running averages in every step. The network's
    `forward` is traced by `torch.fx` (values must not steer it, `self.training` keeps the value that it has) and
    written anew with these streams; what output t does not need is not computed for task t. Names of parameters stay;
    those of copy t of a layer are `<layer>.<t>.<name>`. Heads and copies get the gradient of their own task's loss, so
    an aggregator should be in sum convention, as the paper's are.

    Args:
        k: number of layers; 0 leaves the network as it is.
        selection: "top": the k highest scores; "random": k random ones; "random_parameters": random ones until they
            hold more parameters than the top k; "first" or "last": in the order of registration.
        threshold: S; one of those that the evidence counted. Only "top" and "random_parameters" look at it.
        branch_init: "independent": each copy of a convolution has weights of its own, other copies are equal; "copy":
            all copies are equal.

    Departures:
        1. The paper says that copies start equal, the official code draws convolutions anew: `branch_init`. We follow
           the code, but do not know how the network draws: copy 0 keeps the weights, the others have them in random
           order. For independent, identically distributed weights that is the same distribution.
        2. The official residual block adds a single-stream shortcut to task 0 only; we broadcast it, as above.
        3. The official code cuts a too large k down to the number of layers; we refuse it. It also groups gradients by
           position; we go by name, and a task without a gradient in a layer has none there.
        4. Which search (steps, aggregator), k and S made the paper's tables is not certain: its text, scripts and
           parameter counts disagree. All are the experiment's settings here.
        5. Random selections and independent weights are drawn anew by every run, from its own generator: a run is one
           draw of both, so that the spread over seeds is over draws too. The official code's selections share one seed.
        6. A parameter that no output depends on stays in the network, shared or not, as it was.
    """

    k: int
    selection: Literal["top", "random", "random_parameters", "first", "last"] = "top"
    threshold: float = 0.0
    branch_init: Literal["independent", "copy"] = "independent"

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"`k` must be non-negative, found k = {self.k}.")
        if self.selection not in ("top", "random", "random_parameters", "first", "last"):
            known = "'top', 'random', 'random_parameters', 'first' or 'last'"
            raise ValueError(f"`selection` must be {known}, found selection = {self.selection!r}.")
        if not -1.0 < self.threshold <= 0.0:
            raise ValueError(f"`threshold` must be above -1 and at most 0, found threshold = {self.threshold}.")
        if self.branch_init not in ("independent", "copy"):
            raise ValueError(
                f"`branch_init` must be 'independent' or 'copy', found branch_init = {self.branch_init!r}."
            )

    def check(self, build: Callable[[], Network]) -> None:
        """Refuses a k that leaves the tasks nothing to share; `__call__` itself allows k = all, for comparisons."""
        if self.k == 0:
            return
        layers = shared_layers(build())
        if self.k >= len(layers):
            raise ValueError(
                f"`k` must be less than the number of shared layers, {len(layers)}, so that something stays shared, "
                f"found k = {self.k}."
            )

    def __call__(self, network: Network, evidence: Mapping[str, Any] | None, generator: np.random.Generator) -> Network:
        """The network with its own copies for each task; `network` itself for k = 0 and for a single task.

        Args:
            network: freshly initialised; left as it was.
            evidence: what `core.layers.as_evidence` returned for a network with the same shared layers.
            generator: draws random selections, then the weights of independent copies.
        """
        sizes = {name: sum(p.numel() for p in own) for name, own in shared_layers(network).items()}
        if self.k > len(sizes):
            raise ValueError(f"`k` must be at most the number of shared layers, {len(sizes)}, found k = {self.k}.")
        chosen = self._select(sizes, evidence, generator)
        if not chosen:
            return network
        program = trace(network)
        if len(outputs(program)) == 1:
            return network
        return branch(network, program, chosen, generator if self.branch_init == "independent" else None)

    def _select(
        self, sizes: Mapping[str, int], evidence: Mapping[str, Any] | None, generator: np.random.Generator
    ) -> list[str]:
        names = list(sizes)
        if self.selection == "first":
            return names[: self.k]
        if self.selection == "last":
            return names[len(names) - self.k :]
        top = [] if self.selection == "random" or self.k == 0 else self._top(names, evidence)
        if self.selection == "top":
            return top
        shuffled = [names[i] for i in generator.permutation(len(names))]
        if self.selection == "random":
            return shuffled[: self.k]
        budget = sum(sizes[name] for name in top)
        spent = np.cumsum([sizes[name] for name in shuffled])
        return shuffled[: int((spent <= budget).sum()) + 1] if top else []

    def _top(self, names: list[str], evidence: Mapping[str, Any] | None) -> list[str]:
        if evidence is None:
            raise ValueError(f"`evidence` must be given for selection = {self.selection!r}, found none.")
        if self.threshold not in evidence["thresholds"]:
            known = ", ".join(map(str, evidence["thresholds"]))
            raise ValueError(f"`threshold` must be one that was counted, {known}, found threshold = {self.threshold}.")
        scores = evidence["scores"]
        if set(scores) != set(names):
            differing = sorted(set(scores) ^ set(names))
            raise ValueError(f"`evidence` must be of a network with the same layers, found a difference: {differing}.")
        column = list(evidence["thresholds"]).index(self.threshold)
        return ranked({name: scores[name][column] for name in names}, names)[: self.k]
