"""A network's `forward` as a graph, and what the network returns in it."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from gradsurgery.core.interfaces import Network


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


def trace(network: Network) -> fx.Graph:
    """The network's `forward` as a graph on the names of its modules. Raises ValueError where it cannot be traced."""
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


def outputs(program: fx.Graph) -> tuple[fx.Node, ...]:
    """What the network returns, one node per task. Raises ValueError where it is no tuple of values."""
    (found,) = program.output_node().args
    if not isinstance(found, tuple | list) or not all(isinstance(o, fx.Node) for o in found):
        raise ValueError(f"`network` must return a tuple with one output per task, found {found!r}.")
    return tuple(found)
