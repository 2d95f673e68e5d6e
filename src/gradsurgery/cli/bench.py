"""Milliseconds from given task gradients J (K, P) to a direction (P,), for methods of ours and of your own.

    gradsurgery bench pcgrad cagrad --tasks 3 --parameters 1000000
    gradsurgery bench my_mod:fn pcgrad --tasks 10 --threads 4

The K backward passes, which a training step takes besides, are not in it. Gradients are random numbers; the time of
some methods depends on how much the tasks conflict. Medians are those of torch.utils.benchmark, +- half their
interquartile range.
"""

import argparse
from functools import partial

import numpy as np
import torch
from torch.utils.benchmark import Timer

from gradsurgery.cli._methods import method
from gradsurgery.core.interfaces import Method
from gradsurgery.rehearsal import step, try_out


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "methods", nargs="+", metavar="METHOD", help="a name of `gradsurgery list methods`, or module:name"
    )
    parser.add_argument("--tasks", default="2", metavar="K", help="rows of J (default: 2)")
    parser.add_argument("--parameters", default="1000000", metavar="P", help="columns of J (default: 1000000)")
    parser.add_argument("--threads", default="1", help="of torch (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--seconds", default="1", help="that each method is measured for (default: 1)")


def main(arguments: argparse.Namespace) -> int:
    K, P, threads, seconds = (whole(f"--{name}", getattr(arguments, name)) for name in
                              ("tasks", "parameters", "threads", "seconds"))  # fmt: skip
    try:
        device = torch.device(arguments.device)
        J = torch.randn(K, P, generator=torch.Generator().manual_seed(0)).to(device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"`--device` must be one of this machine, found {arguments.device!r}: {said}") from None
    methods = {name: method(name) for name in arguments.methods}
    for name, own in methods.items():
        try_out(own, name, K)
    print(f"K = {K}, P = {P:,}, float32 on {device}, {threads} thread{'' if threads == 1 else 's'}\n")
    print(f"{'method':<{max(map(len, methods)) + 2}}{'ms':>10}{'+-':>9}")
    for name, own in methods.items():
        timer = Timer("step()", globals={"step": partial(_step, own, J)}, num_threads=threads)
        found = timer.blocked_autorange(min_run_time=seconds)
        print(f"{name:<{max(map(len, methods)) + 2}}{1e3 * found.median:>10.3f}{1e3 * found.iqr / 2:>9.3f}", flush=True)
    return 0


def whole(name: str, text: str) -> int:
    """A number from 1 on. Raises ValueError, naming the option, for anything else."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) < 10**10):
        raise ValueError(f"`{name}` must be a whole number from 1 on, found {text!r:.40}.")
    return int(text)


def _step(own: Method, J: torch.Tensor) -> None:
    with torch.no_grad():
        step(own, J, None, np.random.default_rng(0))
