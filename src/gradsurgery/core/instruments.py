"""What a run is watched by. Watching changes no bit of it: no draw, no gradient, no statistic."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from gradsurgery.core.activity import Activity, of_step
from gradsurgery.core.buffers import kept_buffers
from gradsurgery.core.conflict import diagnose, magnitude_similarity, mean_cosine
from gradsurgery.core.curvature import curvature_shares
from gradsurgery.core.half_batches import half_batch_null
from gradsurgery.core.interfaces import Losses, Metrics, Network
from gradsurgery.core.layers import conflict_counts, layer_grams, pair_cosines, shared_layers
from gradsurgery.core.processes import averaged, several
from gradsurgery.core.surgery import GradientSurgery


class Instruments:
    """The instruments of a learner; but for diagnostics and activity each is off unless asked for.

    Args:
        network: what is watched.
        surgery: its engine, between `aggregate` and the optimiser's step.
        losses: the task losses of a batch.
        score_layers: thresholds S; in every step the pairs of tasks whose cosine is below S are counted for each
            shared layer, which takes K backward passes whatever the method.
        observe_layers: at every diagnosed step record cosine, magnitude similarity and curvature for each shared layer,
            and the curvature as a diagnostic. Takes one more forward pass and two backward passes there.
        half_batches: at every diagnosed step take the split-batch null (`core/half_batches.py`) as a diagnostic, and
            with `observe_layers` for each shared layer. Takes 2K backward passes on half batches there.

    Attributes:
        layers: the shared layers' parameters, by name.
        scores: conflict counts (layers, thresholds) of every epoch, the whole J in the last row.
        rows: one per diagnosed step, a list over the layers for each quantity.
        activity: what the parts of the run did, on average.
    """

    def __init__(
        self,
        network: Network,
        surgery: GradientSurgery,
        losses: Callable[[Any], Losses],
        score_layers: Sequence[float],
        observe_layers: bool,
        half_batches: bool,
    ) -> None:
        self._network, self._surgery, self._losses = network, surgery, losses
        self.score_layers, self.observe_layers, self.half_batches = tuple(score_layers), observe_layers, half_batches
        self.layers = shared_layers(network)
        self.scores: list[list[list[int]]] = []
        self.rows: list[dict[str, Any]] = []
        self.activity = Activity()

    def begin_epoch(self) -> None:
        if self.score_layers:
            self.scores.append([[0] * len(self.score_layers) for _ in [*self.layers, "all"]])

    def diagnose(self, tasks: Sequence[int]) -> Metrics:
        """The diagnostics of the step that the engine has just aggregated, of the tasks that are there."""
        G, w = self._surgery.gram, self._surgery.weights
        assert G is not None
        if w is None:
            assert self._surgery.gains is not None
            products, length = self._surgery.gains
        else:
            # Exact, and free: J d = G w and |d|^2 = w^T G w.
            products, length = G @ w, float(np.sqrt(max(w @ G @ w, 0.0)))
        numbers = diagnose(G[np.ix_(tasks, tasks)], products[tasks], length)
        state, mode = self._surgery.state or {}, self._surgery.mode
        if mode is not None and mode.exact_cosine is not None:
            numbers["exact_cosine"] = mode.exact_cosine
        return numbers | {f"method.{name}": value for name, value in state.items() if type(value) is float}

    def look(self, step: int, tasks: Sequence[int], batches: Sequence[Any], diagnosed: bool) -> Metrics:
        """Notes what the method did; counts the step's conflicts and, if it is diagnosed, observes it, where asked for.

        Args:
            step: its number.
            tasks: those that are there.
            batches: the step's micro-batches.
            diagnosed: whether it is.

        Returns:
            Numbers for the diagnostics; what is told apart by layer is kept here.
        """
        self.activity.note(of_step(self._surgery, diagnosed))
        observe, halve = diagnosed and self.observe_layers, diagnosed and self.half_batches
        if self.score_layers or observe:
            layers = layer_grams(self._surgery.jacobian, self._surgery.parameters, self.layers)
        if self.score_layers:
            assert self._surgery.gram is not None
            G = np.concatenate([layers, self._surgery.gram[None]])  # an absent task has cosine 0: no conflict
            counts = conflict_counts(pair_cosines(G), self.score_layers)
            self.scores[-1] = (counts + np.array(self.scores[-1])).tolist()
        found: Metrics = {}
        if observe or halve:
            with kept_buffers(self._network):  # to the end: the graph holds BatchNorm's statistics
                if observe:
                    found |= self._observe(step, batches, layers[:, tasks][:, :, tasks])
                if halve:
                    found |= self._halve(batches)
        return found

    def _observe(self, step: int, batches: Sequence[Any], G: Float64[np.ndarray, "L K K"]) -> Metrics:
        losses = [[loss for loss in self._losses(batch) if loss is not None] for batch in batches]
        loss = torch.stack([torch.stack(own).mean() for own in losses if own]).mean()
        d = self._surgery.direction
        whole, shares = curvature_shares(loss, self._surgery.parameters, d, self.layers)
        if several():  # linear in the loss; on the device, as what gathers them may know no other
            whole, *shares = averaged(torch.tensor([whole, *shares], dtype=torch.float64, device=d.device)).tolist()
        self.rows.append({
            "step": step, "mean_cosine": [mean_cosine(own) for own in G],
            "magnitude_similarity": [magnitude_similarity(own) for own in G], "curvature": shares,
        })  # fmt: skip
        return {"curvature": whole}

    def _halve(self, batches: Sequence[Any]) -> Metrics:
        asked = self.layers if self.observe_layers else {}
        null, layers = half_batch_null(self._losses, batches, self._surgery.parameters, asked)
        if layers:
            self.rows[-1] |= {name: [own[name] for own in layers] for name in layers[0]}
        return null

    def history(self, steps: int) -> dict[str, Any]:
        """Of the run's history `activity`, and `observed` and `layers`, None where not asked for.

        Args:
            steps: how many were counted.
        """
        sizes = [sum(p.numel() for p in own) for own in self.layers.values()]
        named = {"names": list(self.layers), "sizes": sizes}
        scored = {
            **named,
            "steps": steps,
            "thresholds": list(self.score_layers),
            "scores": [epoch[:-1] for epoch in self.scores],
            "whole": [epoch[-1] for epoch in self.scores],
        }
        return {
            "observed": {**named, "rows": self.rows} if self.observe_layers else None,
            "layers": scored if self.score_layers else None,
            "activity": self.activity.means(),
        }

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.scores, "rows": self.rows, "activity": self.activity.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scores, self.rows = state["scores"], state["rows"]
        self.activity.load_state_dict(state["activity"])
