"""Losses given as numbers, and what a balancer makes of them, as numbers again."""

import torch

from tests.contracts import generator


def losses(*values):
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


def balance(balancer, given, state=None, rng=None):
    balanced, _ = balancer(given, balancer.parameters(len(given)), state, rng or generator())
    return [loss.item() for loss in balanced]
