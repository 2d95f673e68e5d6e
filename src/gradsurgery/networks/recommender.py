"""Networks for tables of numbers and categories with one binary output per task: shared-bottom to Split-MMoE."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, mish, softmax

from gradsurgery.core.capabilities import Columns, Towers
from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes

_Variant = Literal["shared_bottom", "mmoe", "omoe", "ple", "split"]


class Recommender(Network, Towers, Columns):
    """Embedded categories beside the numbers, shared experts mixed by gates, and one small tower per task.

    Source: MMoE: Ma et al. 2018, eqs. 6 to 8; PLE: Tang et al. 2020; Split-MMoE: Liu et al. 2025, arXiv 2510.09643.

        x = (numbers, embeddings),  e_i = mish(E_i x),  gate G: sum_i softmax(G x)_i e_i
        `mmoe`: a gate per task       `omoe`: one gate for all tasks       `shared_bottom`: mish(B x), no gate
        `ple`: at each level, task k mixes its own experts and the shared ones, read from its own and the shared mix
               of the level below; the shared mix, of all experts, is needed below the last level only
        `split`: v_1 and v_s from two gates; z_1 = mu' T'_1(v_1) + mu'' T''_1(v_s), z_k = T_k(v_s) for k > 1
        PPNet (`personal`): v_s <- 2 v_s * sigmoid(W_p x_p), x_p the embeddings of the personal categories

    `towers` holds one tower per task in task order; for `split` T'_1, T''_1, T_2, .. and `mu` is a buffer, which the
    rule `drgrad` moves, and None for the other variants. Outputs are logits.

    Args:
        cardinalities: number of values of each category; inputs hold the numbers first, then the categories.
        num_continuous: how many numbers.
        num_tasks: number of outputs.
        variant: which network.
        experts: experts at each level; `ple` gives each task experts // (num_tasks + 1) of them, the rest is shared.
        width: outputs of each expert.
        tower: hidden width of the towers.
        embedding: width of each category's embedding.
        levels: of `ple`.
        dedicated: experts that only the first gate of `split` sees, besides the `experts` that both see.
        personal: places of the categories that PPNet reads; none for no PPNet. `split` only.
        mix: what `split` mixes by mu, "logit" or "probability"; the output is a logit either way.
        tie_init: all towers of `split` start from the same weights.
        equal_capacity: variants other than `split` get the width that brings their number of parameters closest to
            that of `split` at `width`; False: they get `width`.
        capacity_experts: experts of that `split`; 0: as many as the network's own.

    Departures:
        1. No paper gives all sizes. Towers of one hidden layer of 64, experts of one layer of 128 and the activation
           are those of DRGrad's code; its per-column encoders and the hidden layer in its gates are left out, as gates
           are linear in the papers.
        2. Both gates of `split` see one bank of experts ("the backbone is MMoE"); the figure is not public. `dedicated`
           is the other reading.
        3. Task 1 is the primary task, all others are auxiliary and share v_s. The paper has one auxiliary.
        4. The paper prints no activation for z_1; logits are mixed.
    """

    offsets: Tensor

    def __init__(
        self,
        cardinalities: tuple[int, ...],
        num_continuous: int,
        num_tasks: int = 2,
        variant: _Variant = "mmoe",
        experts: int = 4,
        width: int = 128,
        tower: int = 64,
        embedding: int = 8,
        levels: int = 1,
        dedicated: int = 0,
        personal: tuple[int, ...] = (),
        mix: Literal["logit", "probability"] = "logit",
        tie_init: bool = False,
        equal_capacity: bool = True,
        capacity_experts: int = 0,
    ):
        super().__init__()
        sizes_given = {
            "num_tasks": (num_tasks, 2 if variant == "split" else 1), "num_continuous": (num_continuous, 0),
            "experts": (experts, num_tasks + 1 if variant == "ple" else 1), "width": (width, 1), "tower": (tower, 1),
            "embedding": (embedding, 1), "levels": (levels, 1), "dedicated": (dedicated, 0),
            "capacity_experts": (capacity_experts, 0),
        }  # fmt: skip
        check_sizes(sizes_given, f" for variant = '{variant}'")
        if not cardinalities and not num_continuous:
            raise ValueError("`cardinalities` must name a category where num_continuous = 0, found cardinalities = ().")
        if not all(1 <= values <= 10**9 for values in cardinalities):
            raise ValueError(f"`cardinalities` must lie between 1 and 10^9, found cardinalities = {cardinalities}.")
        if levels > 1 and variant != "ple":
            raise ValueError(f"`levels` must be 1 unless variant = 'ple', found levels = {levels}.")
        if variant != "split":
            for name, given in (
                ("dedicated", dedicated), ("personal", personal), ("tie_init", tie_init), ("mix", mix != "logit"),
            ):  # fmt: skip
                if given:
                    raise ValueError(
                        f"`{name}` must be left out unless variant = 'split', found variant = '{variant}'."
                    )
        if not all(0 <= place < len(cardinalities) for place in personal):
            raise ValueError(
                f"`personal` must hold places below {len(cardinalities)}, the number of categories, found {personal}."
            )
        self.variant, self.mix, self.personal = variant, mix, personal
        self.num_continuous, self.cardinalities = num_continuous, cardinalities
        self.embedding = nn.Embedding(sum(cardinalities), embedding) if cardinalities else None
        offsets = torch.tensor([0, *cardinalities[:-1]]).cumsum(0) if cardinalities else torch.empty(0)
        self.register_buffer("offsets", offsets.long(), persistent=False)
        inputs = num_continuous + embedding * len(cardinalities)
        sizes = (inputs, num_tasks, experts, levels, dedicated, tower)
        if variant != "split" and equal_capacity:
            width = _equal_width(variant, width, sizes, capacity_experts or experts)
        self.body = _body(variant, width, sizes)
        self.towers = _towers(variant, width, sizes)
        self.gate = nn.Linear(embedding * len(personal), width, bias=False) if personal else None
        self.register_buffer("mu", torch.tensor([0.5, 0.5]) if variant == "split" else None)
        if tie_init:
            for other in self.towers[1:]:
                other.load_state_dict(self.towers[0].state_dict())

    def forward(self, inputs: Float[Tensor, "batch features"]) -> tuple[Tensor, ...]:
        x, embedded = self._encode(inputs)
        mixes = self.body(x)
        if self.variant != "split":
            return tuple(tower(v)[:, 0] for tower, v in zip(self.towers, mixes, strict=True))
        first, shared = mixes
        if self.gate is not None:
            shared = 2.0 * shared * torch.sigmoid(self.gate(embedded[:, list(self.personal)].flatten(1)))
        own, lent, *others = (
            tower(v)[:, 0] for tower, v in zip(self.towers, (first, *[shared] * (len(self.towers) - 1)), strict=True)
        )
        return self._mixed(own, lent), *others

    def shared_parameters(self) -> list[nn.Parameter]:
        modules = [self.embedding, *self.body.shared(), self.gate]
        return [p for module in modules if module is not None for p in module.parameters()]

    def _encode(self, inputs: Float[Tensor, "batch features"]) -> tuple[Tensor, Tensor]:
        if self.embedding is None:
            return inputs, inputs
        # Not by the module's own call: the gradient of `index_select` takes an eighth of the time on a CPU.
        places = inputs[:, self.num_continuous :].long() + self.offsets
        embedded = self.embedding.weight.index_select(0, places.flatten()).unflatten(0, places.shape)
        return torch.cat([inputs[:, : self.num_continuous], embedded.flatten(1)], dim=1), embedded

    def _mixed(self, own: Float[Tensor, " batch"], lent: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        assert self.mu is not None
        if self.mix == "logit":
            return self.mu[0] * own + self.mu[1] * lent
        both, log_mu = torch.stack([own, lent]), self.mu.log()[:, None]
        return (log_mu + logsigmoid(both)).logsumexp(0) - (log_mu + logsigmoid(-both)).logsumexp(0)


class _Experts(nn.Module):
    """n experts of one layer each, as one layer."""

    def __init__(self, inputs: int, n: int, width: int):
        super().__init__()
        self.n, self.layer = n, nn.Linear(inputs, n * width)

    def forward(self, x: Float[Tensor, "batch in"]) -> Float[Tensor, "batch n width"]:
        return mish(self.layer(x)).unflatten(1, (self.n, -1))


class _Bottom(nn.Module):
    """One layer, read by every tower."""

    def __init__(self, inputs: int, width: int, towers: int):
        super().__init__()
        self.layer, self.towers = nn.Linear(inputs, width), towers

    def forward(self, x: Float[Tensor, "batch in"]) -> list[Float[Tensor, "batch width"]]:
        return [mish(self.layer(x))] * self.towers

    def shared(self) -> list[nn.Module]:
        return [self.layer]


class _Mixture(nn.Module):
    """One bank of experts under several gates; gate i is read by `readers[i]` towers."""

    def __init__(self, inputs: int, experts: int, dedicated: int, width: int, readers: Sequence[int], shared_from: int):
        super().__init__()
        self.experts = _Experts(inputs, experts, width)
        self.dedicated = _Experts(inputs, dedicated, width) if dedicated else None
        seen = [experts + (dedicated if i == 0 else 0) for i in range(len(readers))]
        self.gates = nn.ModuleList(nn.Linear(inputs, n, bias=False) for n in seen)
        self.readers, self.shared_from = readers, shared_from

    def forward(self, x: Float[Tensor, "batch in"]) -> list[Float[Tensor, "batch width"]]:
        experts, mixes = self.experts(x), []
        for i, (gate, readers) in enumerate(zip(self.gates, self.readers, strict=True)):
            seen = experts
            if self.dedicated is not None and i == 0:
                seen = torch.cat([experts, self.dedicated(x)], dim=1)
            mixes += [_mix(gate(x), seen)] * readers
        return mixes

    def shared(self) -> list[nn.Module]:
        return [self.experts, *self.gates[self.shared_from :]]


class _Progressive(nn.Module):
    """PLE; with one level, CGC."""

    def __init__(self, inputs: int, tasks: int, experts: int, width: int, levels: int):
        super().__init__()
        own = experts // (tasks + 1)
        common = experts - tasks * own
        self.tasks = tasks
        self.own, self.common, self.gates, self.common_gates = (nn.ModuleList() for _ in range(4))  # level by level
        for level in range(levels):
            read = inputs if level == 0 else width
            self.own.extend(_Experts(read, own, width) for _ in range(tasks))
            self.gates.extend(nn.Linear(read, own + common, bias=False) for _ in range(tasks))
            self.common.append(_Experts(read, common, width))
            if level < levels - 1:
                self.common_gates.append(nn.Linear(read, experts, bias=False))

    def forward(self, x: Float[Tensor, "batch in"]) -> list[Float[Tensor, "batch width"]]:
        tasks, shared = [x] * self.tasks, x
        for level, common in enumerate(self.common):
            here = slice(level * self.tasks, (level + 1) * self.tasks)
            theirs = [experts(v) for experts, v in zip(self.own[here], tasks, strict=True)]
            ours = common(shared)
            if level < len(self.common_gates):
                shared = _mix(self.common_gates[level](shared), torch.cat([*theirs, ours], dim=1))
            tasks = [
                _mix(gate(v), torch.cat([own, ours], dim=1))
                for gate, v, own in zip(self.gates[here], tasks, theirs, strict=True)
            ]
        return tasks

    def shared(self) -> list[nn.Module]:
        # Below the last level a task's experts reach every task through the shared mix, and so do the gates below them.
        own, gates = self.own[: -self.tasks], self.gates[: -2 * self.tasks]
        return [*self.common, *self.common_gates, *own, *gates]


def _mix(scores: Float[Tensor, "batch n"], experts: Float[Tensor, "batch n width"]) -> Float[Tensor, "batch width"]:
    return (softmax(scores, dim=1)[:, :, None] * experts).sum(dim=1)  # as a product of matrices it takes twice as long


_Sizes = tuple[int, int, int, int, int, int]  # inputs, tasks, experts, levels, dedicated, hidden width of a tower


def _body(variant: str, width: int, sizes: _Sizes) -> _Bottom | _Mixture | _Progressive:
    inputs, tasks, experts, levels, dedicated, _ = sizes
    if variant == "shared_bottom":
        return _Bottom(inputs, width, tasks)
    if variant == "ple":
        return _Progressive(inputs, tasks, experts, width, levels)
    if variant == "omoe":
        return _Mixture(inputs, experts, 0, width, [tasks], 0)
    if variant == "mmoe":
        # The gate of a task is its own.
        return _Mixture(inputs, experts, 0, width, [1] * tasks, tasks)
    return _Mixture(inputs, experts, dedicated, width, [1, 1], 1)


def _towers(variant: str, width: int, sizes: _Sizes) -> nn.ModuleList:
    tasks, hidden = sizes[1], sizes[-1]
    return nn.ModuleList(
        nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        for _ in range(tasks + (variant == "split"))
    )


def _equal_width(variant: str, width: int, sizes: _Sizes, experts: int) -> int:
    """The width at which `variant` has as many parameters as `split` of that many experts at `width`, or nearly so."""
    inputs, tasks, _, _, dedicated, tower = sizes
    wanted = _count("split", width, (inputs, max(tasks, 2), experts, 1, dedicated, tower))
    low, high = 1, 2
    while _count(variant, high, sizes) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _count(variant, middle, sizes) < wanted else (low, middle)
    return min((low, high), key=lambda w: abs(_count(variant, w, sizes) - wanted))


def _count(variant: str, width: int, sizes: _Sizes) -> int:
    with torch.device("meta"):
        modules = [_body(variant, width, sizes), _towers(variant, width, sizes)]
    return sum(p.numel() for module in modules for p in module.parameters())
