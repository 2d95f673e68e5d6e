"""Small copies of NYUv2 and Cityscapes in both layouts, for tests of what reads them."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import _scenes

COUNTS = {"train": 5, "test": 3}
FOLDERS = {"train": "train", "test": "val"}


def small(monkeypatch, form):
    """Five and three pictures of 6 x 8 are all that there are."""
    kind = dataclasses.replace(_scenes.KINDS[form], counts=COUNTS, size=(6, 8))
    monkeypatch.setitem(_scenes.KINDS, form, kind)
    return kind


def pictures(form):
    """By split and map, channels last."""
    rng, kind = np.random.default_rng(0), _scenes.KINDS[form]
    made = {}
    for split, n in COUNTS.items():
        labels = rng.integers(-1, kind.classes, (n, 6, 8))
        labels.reshape(-1)[: kind.classes] = np.arange(kind.classes)
        normals = rng.standard_normal((n, 6, 8, 3))
        made[split] = {
            "image": rng.random((n, 6, 8, 3)),
            "segmentation": labels,
            "depth": rng.uniform(0, kind.farthest, (n, 6, 8, 1)),
            "normal": normals / np.linalg.norm(normals, axis=-1, keepdims=True),
        }
        if form == "cityscapes":
            del made[split]["normal"]
    return made


def as_folders(root: Path, form, made):
    for split, maps in made.items():
        for name, values in maps.items():
            folder = root / FOLDERS[split] / (_scenes.KINDS[form].labels[0] if name == "segmentation" else name)
            folder.mkdir(parents=True)
            for n, one in enumerate(values):
                np.save(folder / f"{n}.npy", one.astype(np.float64))


def as_parquet(root: Path, made, parts=2):
    (root / "data").mkdir(parents=True)
    for split, maps in made.items():
        first = {name: np.moveaxis(v, -1, 1) if v.ndim == 4 else v for name, v in maps.items()}
        columns = {name: [one.tolist() for one in values] for name, values in first.items()}
        for part, rows in enumerate(np.array_split(np.arange(COUNTS[split]), parts)):
            own = pa.table({name: [values[row] for row in rows] for name, values in columns.items()})
            pq.write_table(own, root / "data" / f"{FOLDERS[split]}-{part:05}-of-{parts:05}-0a1b.parquet")
