"""From a data set's raw arrays to those of a dense problem: shuffled, with the maps that are derived from labels."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int8, Int16, Integer, Shaped

from gradsurgery.core.pictures import permutation
from gradsurgery.dense.labels import IGNORED
from gradsurgery.dense.scenes import LIMIT, SCENES, UNIT

_VOID = 11  # CamVid's label of what belongs to no class
_SEEN = 50  # training pictures that stand in for a validation set where there is none


def prepared(raw: Mapping[str, np.ndarray], scene: str, seed: int) -> dict[str, np.ndarray]:
    """`<split>_images` and `<split>_<task>` of train, val and test.

    Args:
        raw: the same, of CamVid `<split>_labels` in place of the tasks. Without a `val`, the first training pictures
            are taken for it, and stay among those that are trained on.
        scene: as for the problem.
        seed: of the order in every split.
    """
    words = np.random.Philox(seed)
    found = dict[str, np.ndarray]()
    for split in ("train", "val", "test"):
        if f"{split}_images" not in raw:
            found |= {f"val_{name}": found[f"train_{name}"][:_SEEN].copy() for name in ("images", *SCENES[scene].tasks)}
            continue
        order = permutation(words, len(raw[f"{split}_images"]))
        own = {name: raw[f"{split}_{name}"] for name in _names(scene)}
        _check(split, own)
        own = {name: values[order] for name, values in own.items()}
        if scene == "camvid":
            own = {"images": own["images"], **derived(own["labels"])}
        found |= {f"{split}_{name}": values for name, values in own.items()}
    return found


def derived(labels: Integer[np.ndarray, "n height width"]) -> dict[str, np.ndarray]:
    """The three maps of CamVid's labels 0..11: classes, boundaries, and distances in tenths of a pixel."""
    known = labels != _VOID
    edges = boundaries(labels)
    return {
        "segmentation": np.where(known, labels, IGNORED).astype(np.int8),
        "boundary": np.where(known, edges, IGNORED).astype(np.int8),
        "distance": np.where(known, distances(edges), IGNORED).astype(np.int16),
    }


def boundaries(labels: Integer[np.ndarray, "n height width"]) -> Int8[np.ndarray, "n height width"]:
    """1 where the pixel above, below, left or right is of another class, neither being void; 0 elsewhere."""
    found = np.zeros(labels.shape, np.int8)
    for axis in (1, 2):
        near, far = (np.take(labels, range(start, labels.shape[axis] - 1 + start), axis) for start in (0, 1))
        apart = (near != far) & (near != _VOID) & (far != _VOID)
        pads = [(0, 0)] * 3
        for pads[axis] in ((0, 1), (1, 0)):
            found |= np.pad(apart, pads).astype(np.int8)
    return found


def distances(edges: Int8[np.ndarray, "n height width"]) -> Int16[np.ndarray, "n height width"]:
    """Euclidean distance of every pixel from the nearest boundary of its picture, in tenths, `LIMIT` pixels at most."""
    from scipy.ndimage import distance_transform_edt  # of the extra `repro`: only `prepare` needs it

    exact = [distance_transform_edt(one == 0) if one.any() else np.full(one.shape, LIMIT) for one in edges]
    return np.rint(np.minimum(np.stack(exact), LIMIT) / UNIT).astype(np.int16)


def _names(scene: str) -> tuple[str, ...]:
    return ("images", "labels") if scene == "camvid" else ("images", *SCENES[scene].tasks)


def _check(split: str, own: Mapping[str, Shaped[np.ndarray, "n height width ..."]]) -> None:
    shape = own["images"].shape
    for name, values in own.items():
        if values.shape[:3] != shape[:3] or len(shape) != 4:
            raise ValueError(
                f"`{split}_{name}` must be of as many pictures and of their size, {shape[:3]}, found {values.shape}."
            )
