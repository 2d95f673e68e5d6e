"""Pictures of the twin as arrays, and the same as files; a module with a `raw` or `arrays` of its own uses those."""

import numpy as np
import pytest
from PIL import Image

from gradsurgery.problems._album import twin
from gradsurgery.problems.imagenet_exits import prepare


@pytest.fixture(scope="module")
def raw():
    return twin(4, 40, 56, 6, 3, seed=0)


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare({"x": raw}, {"left": "x", "seed": 0, "held": 2})


@pytest.fixture(scope="module")
def on_disk(arrays, tmp_path_factory):
    """The same pictures as files without loss, and the arrays that name them."""
    folder, named = tmp_path_factory.mktemp("pictures"), {}
    for split in ("train", "val", "test"):
        files = np.zeros((len(arrays[f"{split}_labels"]), 64), np.uint8)
        for row, image in zip(files, arrays[f"{split}_images"], strict=True):
            name = f"{split}-{id(row)}-{image.sum()}.png"
            Image.fromarray(image).save(folder / name)
            row[: len(name)] = np.frombuffer(name.encode(), np.uint8)
        named |= {f"{split}_files": files, f"{split}_labels": arrays[f"{split}_labels"]}
    return folder, named
