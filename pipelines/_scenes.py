"""NYUv2 and Cityscapes as prepared for MTAN, from the user's own copy: its folders, or the parquet files of the same.

Folders: train/ and val/ with image/, label/ (of Cityscapes label_7/), depth/ and, of NYUv2, normal/, each with 0.npy,
1.npy .. as MTAN's authors hand them out; channels last. Parquet: files train-*.parquet and val-*.parquet, anywhere in
the folder, with columns image, segmentation, depth and normal, channels first, as on the Hugging Face hub under
tanganke/nyuv2 and tanganke/cityscapes. Their `val` is what all papers test on, and `test` here.

Both lack a licence that would let us pass them on: nobody could check this against the real files here.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipelines._download import SourceError

_FOLDERS = {"train": "train", "test": "val"}
_CHANNELS = {"image": 3, "segmentation": 0, "depth": 1, "normal": 3}  # 0: no axis of channels
_ROWS = 16  # of a parquet file that are read at once


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a data set must be.

    Attributes:
        counts: pictures of a split.
        size: height and width.
        classes: labels are -1, which counts nowhere, or 0 to classes - 1.
        labels: names that the folder of labels may have.
        farthest: largest depth that is believed, in metres; of Cityscapes it is an inverse one, whose scale we do not
            know.
    """

    counts: Mapping[str, int]
    size: tuple[int, int]
    classes: int
    labels: tuple[str, ...]
    farthest: float


KINDS = {
    "nyuv2": Kind({"train": 795, "test": 654}, (288, 384), 13, ("label",), 20.0),
    "cityscapes": Kind({"train": 2975, "test": 500}, (128, 256), 7, ("label_7", "label"), 100.0),
}
WHAT = (
    "MTAN's folders train/ and val/ with image/, label/, depth/, normal/ of <n>.npy, or train-*.parquet, val-*.parquet"
)


def read(root: Path, form: str, split: str, what: str) -> Shaped[np.ndarray, "n height width ..."]:
    """One map of one split, checked: images, depths and normals as float32, labels as int8.

    Raises:
        SourceError: a file is missing, too many, cut off or of another shape or range, or a class occurs nowhere.
    """
    kind = KINDS[form]
    shape = (*kind.size, _CHANNELS[what]) if _CHANNELS[what] else kind.size
    found = np.empty((kind.counts[split], *shape), np.int8 if what == "segmentation" else np.float32)
    count = 0
    for place, values in _pictures(root, kind, split, what):
        _check(place, values, shape, what, kind)
        if count < len(found):
            found[count] = values
        count += 1
    if count != len(found):
        raise SourceError(f"{root} must hold {len(found)} pictures in {_FOLDERS[split]}, found {count}")
    if what == "segmentation":
        _histogram(root, found, split, kind.classes)
    return found


def _pictures(root: Path, kind: Kind, split: str, what: str) -> Iterator[tuple[str, np.ndarray]]:
    if files := sorted(root.rglob(f"{_FOLDERS[split]}-*.parquet")):
        yield from _of_parquet(files, kind.size, what)
        return
    names = kind.labels if what == "segmentation" else (what,)
    folders = [root / _FOLDERS[split] / name for name in names]
    folder = next((each for each in folders if each.is_dir()), None)
    if folder is None:
        raise SourceError(f"{root} must hold {WHAT}, found no {folders[0]}")
    files = sorted(folder.glob("*.npy"))
    wanted = {f"{n}.npy" for n in range(kind.counts[split])}
    if odd := sorted(wanted ^ {path.name for path in files}):
        said = "no" if odd[0] in wanted else "a strange"
        raise SourceError(f"{folder} must hold 0.npy to {len(wanted) - 1}.npy, found {said} {odd[0]}")
    for path in sorted(files, key=lambda path: int(path.stem)):
        try:
            yield str(path), np.load(path, allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise SourceError(f"{path} is no whole .npy file ({error})") from None


def _of_parquet(files: list[Path], size: tuple[int, int], what: str) -> Iterator[tuple[str, np.ndarray]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise SourceError("pyarrow is not installed, which parquet files are read with") from None
    for path in files:
        try:
            with ParquetFile(path) as file:
                if what not in file.schema_arrow.names:
                    raise SourceError(f"{path} must have a column {what}, found {', '.join(file.schema_arrow.names)}")
                for batch in file.iter_batches(_ROWS, columns=[what]):
                    yield from ((str(path), own) for own in _rows(batch.column(0), size, what, str(path)))
        except (ArrowException, OSError, EOFError) as error:
            raise SourceError(f"{path} is no whole parquet file ({error})") from None


def _rows(column: Any, size: tuple[int, int], what: str, place: str) -> Iterator[np.ndarray]:
    """Pictures of nested lists, channels last."""
    channels, count = _CHANNELS[what], len(column)
    shape = (channels or 1, *size)
    values = getattr(column, "storage", column)  # the hub's arrays are an extension of plain lists
    while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        values = values.flatten()
    flat = values.to_numpy(zero_copy_only=False)
    if flat.size != count * int(np.prod(shape)):
        found = flat.size / max(count, 1)
        raise SourceError(f"{place} must hold {what} of {shape}, found {found:.0f} numbers in one")
    for picture in flat.reshape(count, *shape):
        yield np.moveaxis(picture, 0, -1) if channels else picture[0]


def _check(place: str, values: np.ndarray, shape: tuple[int, ...], what: str, kind: Kind) -> None:
    if values.shape != shape:
        raise SourceError(f"{place} must be {what} of {shape}, found {values.shape}")
    if values.dtype.kind not in "biuf":
        raise SourceError(f"{place} must hold numbers, found {values.dtype}")
    low, high = float(values.min()), float(values.max())
    bounds = {"image": (0, 1), "segmentation": (-1, kind.classes - 1), "depth": (0, kind.farthest), "normal": (-1, 1)}
    least, most = bounds[what]
    slack = 0.0 if what == "segmentation" else 1e-3
    if not least - slack <= low <= high <= most + slack:  # also NaN
        raise SourceError(f"{place} must hold {what} from {least} to {most}, found {low:.4g} to {high:.4g}")
    if what == "segmentation" and (values != np.rint(values)).any():
        raise SourceError(f"{place} must hold whole numbers, found others")


def _histogram(root: Path, labels: np.ndarray, split: str, classes: int) -> None:
    shares = np.bincount(labels[labels >= 0].ravel(), minlength=classes) / max(1, int((labels >= 0).sum()))
    print(f"{root}, {split}: shares of the {classes} classes {', '.join(f'{share:.3f}' for share in shares)}")
    if (shares == 0).any():
        raise SourceError(f"{root} must hold every class in {_FOLDERS[split]}, found none of {int(shares.argmin())}")
