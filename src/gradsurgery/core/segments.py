"""G of one graph without its J: a stretch of the backward pass at a time, for all tasks, before the next begins.

Source: ours. The graph of the losses is cut where the gradients of all tasks can wait: at a set of its edges none of
which is reached from another, and between no two uses of one parameter. Within a stretch, K passes fill the columns of
J that its parameters have; these go into G and are forgotten. What waits at the cut is K gradients of activations.

    memory   instead of K x P a few times K x B, B an eighth of P or little more than the largest tensor: columns of J
             take no more, nor does what waits, since a cut where more would wait is none
    time     K backward passes; a stretch that holds more than B parameters is taken again for each part of it

A layer that one node computes, such as a compiled network, is one stretch.
"""

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradsurgery.core.jacobian import gram

_PARTS = 8  # of P: more of them save little where one tensor is the largest part, and cost passes
_OF_ONE_WEIGHT = 2  # leaves, as of a weight that is given by its length and direction

Edge = tuple[Any, int]  # a node of the graph and which of its outputs, as in `next_functions`


def gram_of(losses: Sequence[Float[Tensor, ""]], parameters: Sequence[Tensor]) -> Float64[np.ndarray, "K K"]:
    """G = J J^T of the losses' gradients on `parameters`, zero where none is reached. Keeps the graph.

    Args:
        losses: those of K tasks.
        parameters: leaves, as J's columns would have them; whatever else the losses reach is left alone.
    """
    losses = [loss if loss.grad_fn is not None else loss.view_as(loss) for loss in losses]
    graph = _Graph([loss.grad_fn for loss in losses], parameters)
    waiting: list[dict[Edge, Tensor | None]] = [{_edge(loss): None} for loss in losses]
    G = np.zeros((len(losses), len(losses)))
    for nodes in graph.stretches():
        targets = graph.edges_out_of(nodes)
        groups = graph.groups(nodes)
        for last, group in zip([False] * (len(groups) - 1) + [True], groups, strict=True):
            J = group[0].new_zeros((len(losses), sum(p.numel() for p in group)))
            for row, held in zip(J, waiting, strict=True):
                roots = {edge: held[edge] for edge in held if edge[0] in nodes}
                if not roots:
                    continue
                wanted: list[Any] = [*group, *(GradientEdge(*edge) for edge in targets)] if last else [*group]
                found = torch.autograd.grad(
                    [GradientEdge(*edge) for edge in roots], wanted, list(roots.values()), True, allow_unused=True
                )
                _fill(row, group, found)
                if last:
                    for edge in roots:
                        del held[edge]
                    for edge, gradient in zip(targets, found[len(group) :], strict=True):
                        if gradient is not None:
                            before = held.get(edge)
                            held[edge] = gradient if before is None else before + gradient
            G += gram(J)
            del J  # before the next is made
    return G


class _Graph:
    """The part of a graph that leads from the roots to `parameters`, in an order in which gradients can flow."""

    def __init__(self, roots: Sequence[Any], parameters: Sequence[Tensor]) -> None:
        leaves = {get_gradient_edge(p).node: p for p in parameters}
        self._order, self._following = _ordered(roots, leaves)
        self._place = {node: i for i, node in enumerate(self._order)}
        self._uses: dict[Any, list[int]] = {}  # of each leaf
        self._leaves = leaves
        for i, node in enumerate(self._order):
            for leaf, _ in self._following[node]:
                if leaf in leaves:
                    self._uses.setdefault(leaf, []).append(i)
        sizes = [p.numel() for p in parameters]
        self._budget = max(sum(sizes) // _PARTS, max(sizes) * 9 // 8)  # the largest together with its normalisation

    def stretches(self) -> list[set[Any]]:
        """The nodes, cut as finely as the budget for parameters asks for and the graph allows."""
        allowed = self._cuts()
        cuts, size = [0], 0
        for start, end in pairwise([0, *allowed, len(self._order)]):
            own = sum(self._leaves[leaf].numel() for leaf, uses in self._uses.items() if start <= uses[0] < end)
            if size and size + own > self._budget and all(map(_untouched, allowed[start])):
                cuts.append(start)
                size = 0
            size += own
        return [set(self._order[a:b]) for a, b in pairwise([*cuts, len(self._order)])]

    def edges_out_of(self, nodes: set[Any]) -> list[Edge]:
        """Where what flows through `nodes` goes on beyond them, parameters aside."""
        edges = (edge for node in self._order if node in nodes for edge in self._following[node])
        return list(dict.fromkeys(edge for edge in edges if edge[0] not in nodes and edge[0] not in self._leaves))

    def groups(self, nodes: set[Any]) -> list[list[Tensor]]:
        """The parameters of a stretch, cut by the budget, those that one node computes together."""
        groups: list[list[Tensor]] = []
        size, before = 0, -1
        for leaf, uses in sorted(self._uses.items(), key=lambda item: item[1][0]):
            if self._order[uses[0]] in nodes:
                parameter = self._leaves[leaf]
                if not groups or (size + parameter.numel() > self._budget and uses[0] != before):
                    groups.append([])
                    size = 0
                groups[-1].append(parameter)
                size, before = size + parameter.numel(), uses[0]
        return groups

    def _cuts(self) -> dict[int, list[Edge]]:
        """Places in the order before which all gradients can wait, in as much room as columns may take, and where."""
        reached: dict[Any, int] = {}  # from each node, as bits
        for i in reversed(range(len(self._order))):
            own = 1 << i
            for node, _ in self._following[self._order[i]]:
                own |= reached.get(node, 0)
            reached[self._order[i]] = own
        between = np.zeros(len(self._order) + 1, dtype=int)  # how many parameters have uses on both sides
        for uses in self._uses.values():
            between[uses[0] + 1] += 1
            between[uses[-1] + 1] -= 1
        shut, cuts, crossing = np.cumsum(between) > 0, dict[int, list[Edge]](), dict[Edge, int]()
        for i in range(1, len(self._order)):
            for edge in self._following[self._order[i - 1]]:
                if edge[0] in self._place:
                    crossing[edge] = 1 << self._place[edge[0]]
            crossing = {edge: bit for edge, bit in crossing.items() if bit >> i}
            bits = functools.reduce(int.__or__, crossing.values(), 0)
            small = sum(math.prod(node._input_metadata[nr].shape) for node, nr in crossing) <= self._budget
            if small and not shut[i] and all(reached[edge[0]] & bits == bit for edge, bit in crossing.items()):
                cuts[i] = list(crossing)
        return cuts


def _untouched(edge: Edge) -> bool:
    """Whether no hook of a tensor changes the gradient there: it would do so twice."""
    about = edge[0]._input_metadata[edge[1]]
    ones = torch.ones(about.shape, dtype=about.dtype, device=about.device)
    (found,) = torch.autograd.grad([GradientEdge(*edge)], [GradientEdge(*edge)], [ones], True)
    return torch.equal(found, ones)


def _ordered(roots: Sequence[Any], leaves: dict[Any, Tensor]) -> tuple[list[Any], dict[Any, list[Edge]]]:
    """By the longest way to a leaf, so that what hangs on late, as an early exit does, is taken late.

    But what only turns or scales a parameter comes at once, or the gradients of all of them would wait to the end.
    """
    height, following = _heights(roots, leaves)
    by_height = sorted(following, key=height.__getitem__, reverse=True)
    ends = {leaf: 1 << i for i, leaf in enumerate(leaves)}  # the leaves that each node leads to, as bits
    for node in reversed(by_height):
        ends[node] = functools.reduce(int.__or__, (ends[n] for n, _ in following[node]))
    keys: dict[Any, tuple[int, ...]] = {}
    last: dict[Any, tuple[int, ...]] = {}  # of what leads to each node
    for i, node in enumerate(by_height):
        keys[node] = (*last[node], 0) if node in last and ends[node].bit_count() <= _OF_ONE_WEIGHT else (i,)
        for n, _ in following[node]:
            last[n] = max(last.get(n, ()), keys[node])
    return sorted(by_height, key=keys.__getitem__), following


def _heights(roots: Sequence[Any], leaves: dict[Any, Tensor]) -> tuple[dict[Any, int], dict[Any, list[Edge]]]:
    """Of every node that leads to a leaf the longest way there, and where its gradients go on to one."""
    height: dict[Any, int] = dict.fromkeys(leaves, 0)
    following: dict[Any, list[Edge]] = {}
    seen, todo = set(leaves), [(node, False) for node in roots]
    while todo:
        node, done = todo.pop()
        if done:
            own = [edge for edge in node.next_functions if edge[0] in height]
            if own:
                height[node], following[node] = 1 + max(height[n] for n, _ in own), own
        elif node not in seen:
            seen.add(node)
            todo.append((node, True))
            todo += [(n, False) for n, _ in node.next_functions if n is not None]
    return height, following


def _edge(tensor: Tensor) -> Edge:
    found = get_gradient_edge(tensor)
    return found.node, found.output_nr


def _fill(row: Tensor, group: Sequence[Tensor], found: Sequence[Tensor | None]) -> None:
    """The gradients of `group` side by side, each in the order of its parameter's own memory."""
    start = row.storage_offset()
    for parameter, gradient in zip(group, found, strict=False):
        if gradient is not None:
            dense = gradient if gradient.layout == torch.strided else gradient.to_dense()
            row.as_strided(parameter.shape, torch.empty_like(parameter, device="meta").stride(), start).copy_(dense)
        start += parameter.numel()
