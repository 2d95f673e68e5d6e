"""Recon: the layers in which the tasks conflict most become task-specific."""

import copy
import functools
import inspect
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, fx, nn

from gradsurgery.core.interfaces import ModelTransform, Network
from gradsurgery.core.layers import ranked, shared_layers

_CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


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
        program = _trace(network)
        if len(_outputs(program)) == 1:
            return network
        return _branch(network, program, chosen, generator if self.branch_init == "independent" else None)

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


class _Streams(Network):
    """A network whose layers are those of `body`, run by another program.

    Args:
        body: holds the modules; not called.
        program: what `forward` does, on the names of `body`'s modules.
        shared: names of the shared parameters.
    """

    def __init__(self, body: nn.Module, program: fx.Graph, shared: list[str]):
        super().__init__()
        for name, child in body.named_children():
            self.add_module(name, child)
        for name, parameter in body.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in body.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.training = body.training
        self._shared = shared
        # Only the compiled function is kept: a module inside would list every parameter twice.
        self._program: Callable[..., Any] = type(fx.GraphModule(self, program)).forward

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self._program(self, inputs)
        return outputs

    def shared_parameters(self) -> list[nn.Parameter]:
        return [self.get_parameter(name) for name in self._shared]


class _Root(nn.Module):
    """Calls the network: only modules inside the traced one go through `_Tracer.call_module`."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, inputs: Any) -> Any:
        return self.network(inputs)


class _Tracer(fx.Tracer):
    """Records calls of modules without children, and of torch's own, as they are; looks into all others."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(m.children()) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # Without what a type checker has put around `forward`: it would refuse the placeholders of the trace.
        return super().call_module(m, functools.partial(inspect.unwrap(type(m).forward), m), args, kwargs)


def _trace(network: Network) -> fx.Graph:
    """The network's `forward` as a graph on the names of its modules."""
    try:
        graph = _Tracer().trace(_Root(network))
    except (fx.proxy.TraceError, TypeError, NameError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"`network` must be one that torch.fx can trace, found {type(network).__name__}: {reason}"
        ) from error
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = node.target.removeprefix("network.")
    return graph


def _outputs(program: fx.Graph) -> tuple[fx.Node, ...]:
    (outputs,) = program.output_node().args
    if not isinstance(outputs, tuple | list) or not all(isinstance(o, fx.Node) for o in outputs):
        raise ValueError(f"`network` must return a tuple with one output per task, found {outputs!r}.")
    return tuple(outputs)


def _branch(network: Network, program: fx.Graph, chosen: Collection[str], rng: np.random.Generator | None) -> Network:
    """`network` with copies of the `chosen` layers for each of its tasks; independent ones if there is an `rng`."""
    body = copy.deepcopy(network)
    K = len(_outputs(program))
    streams = _rewrite(network, program, chosen)
    layers = shared_layers(body)
    own = {id(p) for name in chosen for p in layers[name]}
    tied = [name for name, ps in layers.items() if name not in chosen and any(id(p) in own for p in ps)]
    if tied:
        raise ValueError(f"`network` must not tie a chosen layer's parameters to another layer, found {tied}.")
    shared = [p for p in body.shared_parameters() if id(p) not in own]
    for name in layers:
        if name in chosen:
            layer = body.get_submodule(name)
            copies = [layer, *(copy.deepcopy(layer) for _ in range(1, K))]
            if rng is not None and isinstance(layer, _CONVOLUTIONS):
                for other in copies[1:]:
                    _shuffle(other, rng)
            parent, _, last = name.rpartition(".")
            setattr(body.get_submodule(parent), last, nn.ModuleList(copies))
    names = {id(p): name for name, p in body.named_parameters()}
    return _Streams(body, streams, [names[id(p)] for p in shared])


def _shuffle(convolution: nn.Module, rng: np.random.Generator) -> None:
    weight = convolution.get_parameter("weight")
    order = torch.from_numpy(rng.permutation(weight.numel())).to(weight.device)
    with torch.no_grad():
        weight.copy_(weight.flatten()[order].view(weight.shape))


def _rewrite(network: Network, program: fx.Graph, chosen: Collection[str]) -> fx.Graph:
    """The program with streams: every step behind a chosen layer once for each task that needs it, others once."""
    _check_calls(program, chosen)
    split: set[fx.Node] = set()
    for node in program.nodes:
        if _is_call(node, chosen) or any(n in split for n in node.all_input_nodes):
            split.add(node)
    _check_in_place(program, network, split)
    needed: dict[fx.Node, set[int]] = {node: set() for node in program.nodes}
    for t, node in enumerate(_outputs(program)):
        needed[node].add(t)
    for node in reversed(program.nodes):
        if node.op != "output":
            for n in node.all_input_nodes:
                needed[n] |= needed[node]
    streams = fx.Graph()
    made: dict[tuple[fx.Node, int], fx.Node] = {}
    for node in program.nodes:
        if node.op == "output":
            streams.output(tuple(made[_at(n, t, split)] for t, n in enumerate(_outputs(program))))
        elif node in split:
            for t in sorted(needed[node]):
                made[node, t] = streams.node_copy(node, functools.partial(_read, made, split, t))
                if _is_call(node, chosen):
                    made[node, t].target = f"{node.target}.{t}"
        elif needed[node] or node.op == "placeholder":
            made[node, 0] = streams.node_copy(node, functools.partial(_read, made, split, 0))
    streams.lint()
    return streams


def _at(node: fx.Node, t: int, split: set[fx.Node]) -> tuple[fx.Node, int]:
    return (node, t) if node in split else (node, 0)


def _read(made: Mapping[tuple[fx.Node, int], fx.Node], split: set[fx.Node], t: int, node: fx.Node) -> fx.Node:
    return made[_at(node, t, split)]


def _is_call(node: fx.Node, layers: Collection[str]) -> bool:
    return node.op == "call_module" and node.target in layers


def _check_calls(program: fx.Graph, chosen: Collection[str]) -> None:
    called = {node.target for node in program.nodes if _is_call(node, chosen)}
    read = {str(n.target).rpartition(".")[0] for n in program.nodes if n.op == "get_attr"}
    for name in chosen:
        if name not in called or name in read:
            raise ValueError(f"`network` must call the layer {name} as a module, found another use of its parameters.")


def _check_in_place(program: fx.Graph, network: Network, split: set[fx.Node]) -> None:
    """A value of one stream must not be overwritten once per task, nor an overwriting step be pruned as unused."""
    for node in program.nodes:
        if _writes(node, network) and (not node.users or (node in split and node.all_input_nodes[0] not in split)):
            raise ValueError(f"`network` must not change values in place where tasks part, found {node.format_node()}.")


def _writes(node: fx.Node, network: Network) -> bool:
    """Whether a step overwrites its input by torch's naming. (`x += y` is traced as `x + y`, and harmless.)"""
    if node.op == "call_module":
        return bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_function":
        name = getattr(node.target, "__name__", "")
        # `and_` writes nothing.
        return (name.endswith("_") and name not in operator.__all__) or node.kwargs.get("inplace") is True
    return node.op == "call_method" and str(node.target).endswith("_") and not str(node.target).endswith("__")
