"""The names that Recon's code has for the layers of ResNet-18, from the places they have in our network.

Our trunk is one sequence: convolution, BatchNorm, ReLU, pooling, the eight blocks of four stages, pooling, flattening,
the shared linear layer. A block's `branch` holds what the paper calls conv1, bn1, ReLU, conv2, bn2.
"""

import re

_FIRST_BLOCK, _BLOCKS = 4, 8
_ENDS = {"trunk.0": "conv1", "trunk.1": "bn1", "trunk.14": "fc"}
_PARTS = {
    "branch.0": "conv1", "branch.1": "bn1", "branch.3": "conv2", "branch.4": "bn2",
    "shortcut.0": "downsample.0", "shortcut.1": "downsample.1",
}  # fmt: skip


def in_the_paper(layer: str) -> str:
    """`trunk.7.branch.4` -> `layer2.1.bn2`; a layer of another network keeps its name."""
    found = re.fullmatch(r"trunk\.(\d+)\.((?:branch|shortcut)\.\d)", layer)
    if found is None or found[2] not in _PARTS or not 0 <= int(found[1]) - _FIRST_BLOCK < _BLOCKS:
        return _ENDS.get(layer, layer)
    stage, block = divmod(int(found[1]) - _FIRST_BLOCK, 2)
    return f"layer{stage + 1}.{block}.{_PARTS[found[2]]}"
