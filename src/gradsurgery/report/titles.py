"""Problems in words: their names, and the settings behind the numbers of one."""

from collections.abc import Mapping, Sequence

from gradsurgery.evidence.history import Run

TITLES = {
    "multi_mnist": "MultiMNIST", "multi_fashion": "MultiFashion", "multi_fashion_mnist": "Multi-Fashion+MNIST",
    "multi_fashion_mnist_resnet": "Multi-Fashion+MNIST, ResNet", "census": "Census-Income",
    "yeast": "Yeast, 14 classes of genes", "qm9": "QM9, 11 properties of molecules",
    "arml_500": "CIFAR-10, 500 labels", "arml_1000": "CIFAR-10, 1,000 labels", "arml_2000": "CIFAR-10, 2,000 labels",
    "cifar100_few_labels": "CIFAR-100 with most labels hidden (ours)",
    "celeba": "CelebA, 40 attributes", "celeba_pcgrad": "CelebA, PCGrad's protocol",
    "celeba_recon": "CelebA, Recon's protocol", "celeba_twin": "CelebA's twin, 40 planted patches",
    "cifar100_superclass": "CIFAR-100, 20 superclasses", "cifar100_exits": "CIFAR-100, early exits",
    "cifar100_exits_vgg": "CIFAR-100, early exits, VGG-16", "imagenet_exits": "ImageNet, early exits",
    "pascal_context": "PASCAL-Context, 4 tasks",
    "imagenet_mae": "ImageNet, reconstruction", "imagenet_mae_convnext": "ImageNet, reconstruction, ConvNeXt-tiny",
    "imagenet_mae_classes": "ImageNet, reconstruction and classes",
    "ct_mae": "head-and-neck CT, reconstruction", "ct_mae_convnext": "head-and-neck CT, reconstruction, ConvNeXt-tiny",
    "imagenet_mae_twin": "stripes, a twin of ImageNet, reconstruction and classes",
    "imagenet_exits_twin": "stripes, a twin of ImageNet, early exits",
    "cifar100_reconstruction": "CIFAR-100, reconstruction", "cifar100_exits_msdnet": "CIFAR-100, early exits, MSDNet",
    "metaworld": "Meta-World, three tasks of one arm", "metaworld_fifty": "Meta-World, MT50",
    "nyuv2_recon_segnet": "NYUv2, Recon on SegNet", "cityscapes_recon_mtan": "Cityscapes, Recon on MTAN",
    "multi_mnist_pcgrad": "MultiMNIST, PCGrad's protocol",
    "camvid": "CamVid (boundary and distance derived)",
    "nyuv2": "NYUv2", "cityscapes": "Cityscapes", "nyuv2_recon": "NYUv2, Recon's protocol",
    "cityscapes_recon": "Cityscapes, Recon's protocol", "nyuv2_mtan": "NYUv2, MTAN's and PCGrad's protocol",
    "cityscapes_mtan": "Cityscapes, MTAN's and PCGrad's protocol", "nyuv2_twin": "rendered rooms, a twin of NYUv2",
    "cityscapes_twin": "rendered streets, a twin of Cityscapes",
    "dial_50_r1": "two heads, cosine 0.5, equal weights",
    "dial_0_r1": "two heads, cosine 0, equal weights",
    "dial_m20_r1": "two heads, cosine -0.2, equal weights",
    "dial_m50_r1": "two heads, cosine -0.5, equal weights",
    "dial_m95_r1": "two heads, cosine -0.95, equal weights",
    "dial_50_r4": "two heads, cosine 0.5, weights 1 and 4",
    "dial_0_r4": "two heads, cosine 0, weights 1 and 4",
    "dial_m20_r4": "two heads, cosine -0.2, weights 1 and 4",
    "dial_m50_r4": "two heads, cosine -0.5, weights 1 and 4",
    "dial_m95_r4": "two heads, cosine -0.95, weights 1 and 4",
    "dial_m95_r4_sgd": "two heads, cosine -0.95, weights 1 and 4, SGD",
    "dial4_m32_r1": "four heads, cosine -0.32, equal weights",
    "dial4_m32_r4": "four heads, cosine -0.32, weights 1, 1, 1 and 4",
    "tied_2_r1": "one output layer, 2 of 10 classes in another order, equal weights",
    "tied_5_r1": "one output layer, 5 of 10 classes in another order, equal weights",
    "tied_10_r1": "one output layer, 10 of 10 classes in another order, equal weights",
    "tied_2_r4": "one output layer, 2 of 10 classes in another order, weights 1 and 4",
    "tied_5_r4": "one output layer, 5 of 10 classes in another order, weights 1 and 4",
    "tied_10_r4": "one output layer, 10 of 10 classes in another order, weights 1 and 4",
    "drgrad_synthetic_cooperate": "DRGrad's synthetic set, tasks agree",
    "drgrad_synthetic_conflict": "DRGrad's synthetic set, tasks conflict",
    "mmoe_synthetic_0": "MMoE's synthetic set, correlation 0",
    "mmoe_synthetic_50": "MMoE's synthetic set, correlation 0.5",
    "mmoe_synthetic_90": "MMoE's synthetic set, correlation 0.9", "users_synthetic": "synthetic users",
    "cagrad_toy": "landscape of CAGrad", "sam_gs_toy1": "landscape of SAM-GS, one optimum",
    "sam_gs_toy2": "landscape of SAM-GS, two optima", "pcgrad_toy": "landscape of PCGrad",
}  # fmt: skip


def title(problem: str) -> str:
    """A problem's name in words."""
    return TITLES.get(problem, problem.replace("_", " "))


def setting(runs: Mapping[str, Sequence[Run]]) -> str:
    """Scale, track, length, seeds and settings behind one problem's numbers, in one line."""
    run = next(iter(runs.values()))[0]
    settings = run.declaration.get("settings", {})
    networks = sorted({r[0].declaration.get("settings", {}).get("network", {}).get("name", "") for r in runs.values()})
    said = [
        f"{k.replace('_', ' ')} {settings[k]}" for k in sorted(settings)
        if not isinstance(settings[k], dict | list) and k != "epochs"
    ]  # fmt: skip
    epochs = "" if run.trajectory is not None else f", {len(run.epochs)} epochs"
    network = f", network {', '.join(filter(None, networks))}" if any(networks) else ""
    tail = f": {', '.join(said)}" if said else ""
    return f"Scale {run.scale}, track {_tracks(runs)}{epochs}, {_seeds(runs)}{network}{tail}."


def _tracks(runs: Mapping[str, Sequence[Run]]) -> str:
    return ", ".join(sorted({r[0].track for r in runs.values()}))


def _seeds(runs: Mapping[str, Sequence[Run]]) -> str:
    counts = sorted({len(group) for group in runs.values()})
    return f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seed{'' if counts == [1] else 's'}"
