"""Names of layers are those of the paper's ResNet-18: checked on the network itself."""

import pytest
from torch import nn

from gradsurgery.networks.resnet import ResNet
from gradsurgery.report.layer_names import in_the_paper


def test_every_shared_layer_is_what_its_name_says() -> None:
    shared = {n: m for n, m in ResNet(width=2).named_modules() if n.startswith("trunk") and [*m.parameters(False)]}
    names = {in_the_paper(name): module for name, module in shared.items()}
    assert len(names) == len(shared) == 41
    assert not any(name.startswith("trunk") for name in names)
    assert list(names)[:2] == ["conv1", "bn1"]
    assert list(names)[-1] == "fc"
    for name, module in names.items():
        kind = {"conv1": nn.Conv2d, "conv2": nn.Conv2d, "bn1": nn.BatchNorm2d, "bn2": nn.BatchNorm2d, "fc": nn.Linear}
        assert isinstance(module, {**kind, "0": nn.Conv2d, "1": nn.BatchNorm2d}[name.split(".")[-1]])
        if isinstance(module, nn.Conv2d) and name != "conv1":
            stage, rest = int(name[5]), name[6:]
            width = 2 * 2 ** (stage - 1)
            widens = stage > 1 and rest in (".0.conv1", ".0.downsample.0")
            assert (module.in_channels, module.out_channels) == (width // 2 if widens else width, width)
    assert sorted(n for n in names if "downsample.1" in n) == [f"layer{stage}.0.downsample.1" for stage in (2, 3, 4)]


@pytest.mark.parametrize("name", ["stem", "trunk.7", "trunk.12.branch.0", "trunk.7.branch.2", "encoder.trunk.0"])
def test_layers_of_other_networks_keep_their_names(name: str) -> None:
    assert in_the_paper(name) == name
