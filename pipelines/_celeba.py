"""CelebA from the user's own copy, in torchvision's layout: its lists and its aligned faces, as a folder or as the zip.

    list_attr_celeba.txt        a count, 40 names, then a line a picture: its name and 40 times -1 or 1
    list_eval_partition.txt     a line a picture: its name and 0, 1 or 2 (train, val, test)
    img_align_celeba/           000001.jpg .., 178 x 218; or img_align_celeba.zip, which holds that folder

The licence lets nobody pass it on, so that nobody could check this against the real files here but by the sums of the
lists, which torchvision names.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import Image, UnidentifiedImageError

from pipelines._download import SourceError

FORM = "celeba"
WHAT = "list_attr_celeba.txt, list_eval_partition.txt and img_align_celeba/ (or .zip), as torchvision lays them out"
SPLITS = ("train", "val", "test")
COUNTS = {"train": 162_770, "val": 19_867, "test": 19_962}
MD5 = {
    "list_attr_celeba.txt": "75e246fa4810816ffd6ee81facbd2244",
    "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
}
_FACE, _SIZE, _ATTRIBUTES = (178, 218), (64, 64), 40
_FACES = "img_align_celeba"


def read(
    root: Path, split: str, what: str, counts: Mapping[str, int] = COUNTS, md5: Mapping[str, str] = MD5
) -> Shaped[np.ndarray, "n ..."]:
    """Faces (n, 64, 64, 3) or attributes (n, 40) of one split, uint8, in the order of the list.

    Args:
        root: the folder.
        split: train, val or test.
        what: "images" or "labels".
        counts, md5: of the real set; others only for a twin on disk.

    Raises:
        SourceError: a file is missing, too many, cut off or of another size, or a list is not the one of the authors.
    """
    places = _lines(root, "list_eval_partition.txt", md5)
    wanted = [line[0] for line in places if len(line) == 2 and line[1] == str(SPLITS.index(split))]
    if len(wanted) != counts[split]:
        raise SourceError(f"{root}/list_eval_partition.txt must name {counts[split]} of {split}, found {len(wanted)}")
    return _labels(root, wanted, md5) if what == "labels" else _faces(root, wanted, sum(counts.values()))


def _lines(root: Path, name: str, md5: Mapping[str, str]) -> list[list[str]]:
    try:
        body = (root / name).read_bytes()
    except OSError:
        raise SourceError(f"{root} must hold {WHAT}, found no {name}") from None
    if name in md5 and (found := hashlib.md5(body, usedforsecurity=False).hexdigest()) != md5[name]:
        raise SourceError(f"{root / name} must have md5 {md5[name]}, found {found}")
    return [line.split() for line in body.decode(errors="replace").splitlines()]


def _labels(root: Path, wanted: list[str], md5: Mapping[str, str]) -> np.ndarray:
    known = {line[0]: line[1:] for line in _lines(root, "list_attr_celeba.txt", md5)[2:] if line}
    for name in wanted:
        if len(own := known.get(name, [])) != _ATTRIBUTES or not {*own} <= {"-1", "1"}:
            found = " ".join(own)[:40] or "nothing"
            raise SourceError(f"{root}/list_attr_celeba.txt must give {name} 40 times -1 or 1, found {found}")
    return np.array([[value == "1" for value in known[name]] for name in wanted], np.uint8)


def _faces(root: Path, wanted: list[str], count: int) -> np.ndarray:
    with ExitStack() as stack:
        names, opened = _album(root, stack)
        if len(names) != count:
            raise SourceError(f"{root}/{_FACES} must hold {count} pictures, found {len(names)}")
        found = np.empty((len(wanted), *_SIZE, 3), np.uint8)
        for place, name in enumerate(wanted):
            if name not in names:
                raise SourceError(f"{root}/{_FACES} must hold {name}, found none")
            try:
                with Image.open(io.BytesIO(opened(name))) as picture:
                    if picture.size != _FACE:
                        raise SourceError(f"{name} of {root}/{_FACES} must be 178 x 218, found {picture.size}")
                    found[place] = np.asarray(picture.convert("RGB").resize(_SIZE, Image.Resampling.BILINEAR))
            except (OSError, UnidentifiedImageError, zipfile.BadZipFile) as error:
                raise SourceError(f"{name} of {root}/{_FACES} is damaged or cut off ({error})") from None
    return found


def _album(root: Path, stack: ExitStack) -> tuple[set[str], Callable[[str], bytes]]:
    """Names of all pictures, and what opens one."""
    folder, packed = root / _FACES, root / f"{_FACES}.zip"
    if folder.is_dir():
        return {path.name for path in folder.glob("*.jpg")}, lambda name: (folder / name).read_bytes()
    if not packed.is_file():
        raise SourceError(f"{root} must hold {WHAT}, found no {_FACES}")
    try:
        archive = stack.enter_context(zipfile.ZipFile(packed))
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{packed} is damaged or cut off ({error})") from None
    members = {Path(name).name: name for name in archive.namelist() if name.endswith(".jpg")}
    return set(members), lambda name: archive.read(members[name])
