"""One network as several streams: every task is sent through its own copies of some layers."""

import copy
import functools
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.layers import shared_layers
from gradsurgery.transforms._tracing import outputs

_CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


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
        found: tuple[Tensor, ...] = self._program(self, inputs)
        return found

    def shared_parameters(self) -> list[nn.Parameter]:
        return [self.get_parameter(name) for name in self._shared]


def branch(network: Network, program: fx.Graph, chosen: Collection[str], rng: np.random.Generator | None) -> Network:
    """`network`, which stays as it was, with copies of the `chosen` layers for each of its tasks.

    Args:
        program: what `trace` made of it.
        rng: draws the weights of copies of convolutions; None for copies that are all equal.

    Raises:
        ValueError: a chosen layer's parameters are used elsewhere, or a value is overwritten where tasks part.
    """
    body = copy.deepcopy(network)
    K = len(outputs(program))
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
    for t, node in enumerate(outputs(program)):
        needed[node].add(t)
    for node in reversed(program.nodes):
        if node.op != "output":
            for n in node.all_input_nodes:
                needed[n] |= needed[node]
    streams = fx.Graph()
    made: dict[tuple[fx.Node, int], fx.Node] = {}
    for node in program.nodes:
        if node.op == "output":
            streams.output(tuple(made[_at(n, t, split)] for t, n in enumerate(outputs(program))))
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
