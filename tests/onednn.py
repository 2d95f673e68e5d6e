"""The networks at test widths, a watch for convolutions of oneDNN's faulty kind, and a comparison with float64.

`python -m tests.onednn` compares, in a process of its own: a wrong convolution may write where it must not.
"""

import functools
import itertools
import json

import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode

from gradsurgery.core.discovery import build

# Fields of each network, and the shape of its input; the few that hold no convolution have none.
SDN = {"num_tasks": 3, "num_classes": 5, "depth": 8}
MSDNET = {"num_tasks": 3, "num_classes": 5, "base": 1, "step": 1, "exit_width": 8}
NETWORKS = {
    "actor_critic": [],
    "autoencoder": [({"width": 4, "depth": 1, "patch": 1}, (4, 16, 16)), ({"width": 4, "depth": 1}, (4, 16, 16))],
    "celeba_cnn": [({"num_tasks": 3, "width": 4}, (3, 64, 64))],
    "celeba_resnet": [({"num_tasks": 3, "width": 4, "stem": stem}, (3, 64, 64)) for stem in ("wide", "narrow")],
    "cnn": [({"num_tasks": 2, "width": 4, "hidden": 8}, (3, 32, 32))],
    "cross_stitch": [({"outputs": (3, 1), "width": 2}, (3, 32, 32))],
    "dense_segnet": [({"outputs": (3, 1), "width": 2}, (3, 32, 32))],
    "fixed_heads": [({}, (1, 28, 28))],
    "lenet": [({}, (1, 36, 36)), ({"variant": "cagrad"}, (1, 36, 36))],
    "masked_autoencoder": [({"size": 64, "width": 8, "heads": 2, "depth": 1}, (4, 64, 64))],
    "mlp": [],
    "mobilenet_raspp": [({"outputs": (3, 1), "width": 4}, (3, 32, 32))],
    "msdnet": [
        (MSDNET | {"growth": 2, "width": 2}, (3, 32, 32)),
        (MSDNET | {"growth": 4, "width": 8, "stride": 2}, (3, 32, 32)),
    ],
    "msdnet_imagenet": [
        ({"num_tasks": 3, "num_classes": 5, "base": 1, "step": 1, "growth": 4, "width": 4}, (3, 64, 64)),
    ],
    "mtan": [({"outputs": (3, 1), "width": 2}, (3, 32, 32))],
    "point": [],
    "recommender": [],
    "resnet": [({"width": 4}, (1, 36, 36)), ({"width": 8}, (1, 64, 64))],
    "sdn_resnet": [(SDN | {"width": 4}, (3, 32, 32)), (SDN | {"width": 8, "stride": 2}, (3, 32, 32))],
    "sdn_vgg": [({"num_tasks": 3, "num_classes": 5, "width": 2}, (3, 32, 32))],
    "segnet": [({"outputs": (3, 1), "width": 2}, (3, 32, 32))],
    "separate": [({"of": "mtan", "outputs": (3, 1), "width": 2}, (3, 32, 32))],
    "split_segnet": [({"outputs": (3, 1), "width": 2}, (3, 32, 32))],
    "task_actor_critic": [],
    "tied_head": [({}, (1, 28, 28))],
    "wide_resnet": [({"num_classes": 5, "depth": 10, "width": 1}, (3, 32, 32))],
}  # fmt: skip
CASES = [(name, fields, shape) for name, cases in NETWORKS.items() for fields, shape in cases]


def batch_of(name, number, shape):
    return (2, number, *shape) if name == "cnn" else (number, *shape)


class Faulty(TorchDispatchMode):
    """Convolutions that are handed to the faulty code, whoever calls them, by upstream's conditions."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            x, weight, _, stride, padding, _, transposed, _, groups = args
            assert not transposed
            few = x.shape[1] < 16 and groups == 1
            whole = all(size % step == 0 for size, step in zip(x.shape[2:], stride, strict=True))
            if set(weight.shape[2:]) == {1} and max(stride) > 1 and max(padding) == 0 and few and whole:
                self.calls.append((tuple(x.shape), tuple(weight.shape)))
        return func(*args, **(kwargs or {}))


def compare():
    """The largest relative error of the output and the weight gradient of every kind of convolution, by a name."""
    torch.manual_seed(0)
    cases, known = {}, set()
    for name, fields, shape in CASES:
        network = build("networks", name, **fields).eval()
        seen = {}
        for label, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(functools.partial(_note, seen, label))
        with torch.no_grad():
            network(torch.rand(batch_of(name, 2, shape)))
        assert seen
        for label, size in seen.items():
            layer = network.get_submodule(label)
            if (kind := (repr(layer), size)) not in known:
                known.add(kind)
                cases[f"{name} {fields} {label}"] = (layer, *_exact(layer, torch.randn(16, *size[1:])))
    errors = dict.fromkeys(cases, 0.0)
    for threads, layout in itertools.product((1, 2, 3), (torch.channels_last, torch.contiguous_format)):
        torch.set_num_threads(threads)
        for name, (layer, x, y, g, wanted) in cases.items():
            out = layer(x.contiguous(memory_format=layout))
            (got,) = torch.autograd.grad(out, layer.weight, g.contiguous(memory_format=layout))
            for ours, exact in ((out.detach(), y), (got, wanted)):
                errors[name] = max(errors[name], float((ours - exact).norm() / exact.norm()))
    return errors


def _exact(layer, x):
    """Input, output, a gradient of the output, and the weight gradient that belongs to it; float64 has no oneDNN."""
    w = layer.weight.detach().double().requires_grad_()
    bias = None if layer.bias is None else layer.bias.detach().double()
    y = conv2d(x.double(), w, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    g = torch.randn(y.shape)
    return x, y.detach(), g, torch.autograd.grad(y, w, g.double())[0]


def _note(seen, label, layer, inputs, output):
    seen[label] = inputs[0].shape


if __name__ == "__main__":
    print(json.dumps(compare()))
