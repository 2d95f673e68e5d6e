"""Pictures that need not fit into memory: opened, cut and decoded when a batch asks for them, several at a time."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from gradsurgery.core.pictures import first, permutation
from gradsurgery.core.settings import check_rows
from gradsurgery.core.training import Training

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TRIES = 10  # of a random cut; each takes four draws, and one draw more says whether left and right are swapped
_THREADS, _AHEAD = 8, 2  # decoders, and batches that they are ahead of who asks
_LEAST, _MOST, _LONG = 0.08, 1.0, math.log(4 / 3)  # share of a picture's area, and the longer over the shorter side
Cut = Callable[["Image", Float64[np.ndarray, " draws"]], UInt8[np.ndarray, "height width 3"]]
Opened = Callable[[Path], "Image"]


class Album:
    """The pictures of one split with their labels.

    Args:
        arrays: what `prepare` returned: {split}_labels, and {split}_images (n, height, width, 3) or {split}_files,
            names of files in `folder` as rows of bytes that end in zeros.
        split: "train", "val" or "test".
        size: number of pictures used, the first ones; 0 means all.
        folder: where the files are.
        opened: what makes a coloured picture of a file, by default Pillow.

    Raises:
        ValueError: there are files and no such folder, or one that is asked for is no whole picture.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], split: str, size: int, folder: str, opened: Opened | None = None
    ):
        self._in_files = f"{split}_files" in arrays
        self._rows = first(arrays, f"{split}_{'files' if self._in_files else 'images'}", size)
        self.labels = first(arrays, f"{split}_labels", size).astype(np.int64)
        self._folder, self._opened = Path(folder), opened or _opened
        if self._in_files and not self._folder.is_dir():
            raise ValueError(f"`folder` must hold the pictures that the arrays name, found none at {folder!r}.")

    def __len__(self) -> int:
        return len(self._rows)

    def batches(
        self, chosen: Iterator[tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, "n draws"]]], cut: Cut
    ) -> Iterator[tuple[Int64[np.ndarray, " n"], UInt8[np.ndarray, "n height width 3"]]]:
        """Rows and their pictures, cut by the draws beside each. What comes depends on `chosen` alone."""
        waiting: deque[tuple[np.ndarray, list[Future[np.ndarray]]]] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                for rows, draws in chosen:
                    pairs = zip(rows.tolist(), draws, strict=True)
                    waiting.append((rows, [pool.submit(self._cut, row, own, cut) for row, own in pairs]))
                    if len(waiting) > _AHEAD:
                        yield _done(*waiting.popleft())
                while waiting:
                    yield _done(*waiting.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def whole(self, size: int, cut: Cut) -> Iterator[tuple[Int64[np.ndarray, " n"], UInt8[np.ndarray, "n h w 3"]]]:
        """All pictures in their order, `size` at a time."""
        starts = range(0, len(self), size)
        return self.batches(
            ((own := np.arange(s, min(s + size, len(self))), np.empty((len(own), 0))) for s in starts), cut
        )

    def _cut(self, row: int, draws: Float64[np.ndarray, " draws"], cut: Cut) -> UInt8[np.ndarray, "height width 3"]:
        from PIL import Image  # of the extra `repro`: the library itself needs no decoder

        if not self._in_files:
            return cut(Image.fromarray(self._rows[row]), draws)
        path = self._folder / self._rows[row].tobytes().rstrip(b"\0").decode()
        try:
            return cut(self._opened(path), draws)
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} must be a whole picture, found: {error}.") from None


def albums_of(
    arrays: Mapping[str, np.ndarray], training: Training, folder: str, twin: bool, opened: Opened | None = None
) -> dict[str, Album]:
    """The album of every split; none without arrays.

    Raises:
        ValueError: as `Album`, too few pictures, or a twin whose pictures come from files.
    """
    if twin and any(name.endswith("_files") for name in arrays):
        raise ValueError("`twin` must be false for pictures from files, found true.")
    albums = {split: Album(arrays, split, n, folder, opened) for split, n in training.sizes.items() if arrays}
    if arrays:
        check_rows({split: len(album) for split, album in albums.items()}, training.batch_size)
    return albums


def random_cut(picture: "Image", draws: Float64[np.ndarray, " draws"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A part of 8 to 100 % of the area, 3:4 to 4:3, of `size` x `size`, half of them swapped left and right: the cut
    of Inception's and torchvision's loaders. The first of 10 tries that fits; else the middle."""
    width, height = picture.size
    box = _middle(width, height, 1.0)
    for area, shape, right, down in draws[:-1].reshape(TRIES, 4):
        share, ratio = _LEAST + area * (_MOST - _LEAST), math.exp((2 * shape - 1) * _LONG)
        w, h = round(math.sqrt(share * width * height * ratio)), round(math.sqrt(share * width * height / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(right * (width - w + 1)), int(down * (height - h + 1))
            box = (left, top, left + w, top + h)
            break
    found = np.asarray(picture.resize((size, size), 2, box=box))  # 2: bilinear
    return found[:, ::-1] if draws[-1] < 0.5 else found


def middle_cut(
    picture: "Image", draws: Float64[np.ndarray, " draws"], size: int, share: float
) -> UInt8[np.ndarray, "size size 3"]:
    """The middle square of `share` of the shorter side, of `size` x `size`, whatever the draws."""
    return np.asarray(picture.resize((size, size), 2, box=_middle(*picture.size, share)))


def divided(source: Mapping[str, np.ndarray], held: int, seed: int) -> dict[str, np.ndarray]:
    """{train,val,test}_{files or images, labels} in random order; `held` training pictures of every class validate.

    Raises:
        ValueError: a class has no more than `held` pictures.
    """
    words, kind = np.random.Philox(seed), "files" if "train_files" in source else "images"
    labels = source["train_labels"]
    order = permutation(words, len(labels))
    grouped = np.argsort(labels[order], kind="stable")
    counts = np.bincount(labels)
    if counts.min() <= held:
        raise ValueError(f"`held` must be less than the pictures of every class, {counts.min()}, found held = {held}.")
    ends = np.cumsum(counts) - counts
    is_val = np.zeros(len(labels), bool)
    is_val[grouped[(ends[:, None] + np.arange(held)).ravel()]] = True
    parts = {"train": ("train", order[~is_val]), "val": ("train", order[is_val]),
             "test": ("test", np.arange(len(source["test_labels"])))}  # fmt: skip
    found = dict[str, np.ndarray]()
    for split, (part, rows) in parts.items():
        places = rows[permutation(words, len(rows))]
        found |= {f"{split}_{what}": source[f"{part}_{what}"][places] for what in (kind, "labels")}
    return found


def twin(classes: int, height: int, width: int, train: int, test: int, seed: int) -> dict[str, np.ndarray]:
    """Noisy stripes, whose direction and colour are the class, in the form of ImageNet's arrays: a twin, no pictures.

    Args:
        classes: their number.
        height, width: of the pictures.
        train, test: pictures of each class.
    """
    words, found = np.random.Philox(seed), dict[str, np.ndarray]()
    rows, columns = np.mgrid[:height, :width]
    for split, n in (("train", train), ("test", test)):
        labels = np.tile(np.arange(classes), n)
        images = np.empty((len(labels), height, width, 3), np.uint8)
        for place, label in enumerate(labels):
            angle, phase = math.pi * label / classes, int(words.random_raw(1)[0] % 8)
            along = (rows * int(256 * math.sin(angle)) + columns * int(256 * math.cos(angle))) // 256
            stripes = 90 * (((along + phase) // 6) % 2)
            noise = (words.random_raw(height * width * 3) >> np.uint64(58)).astype(np.int64).reshape(height, width, 3)
            images[place] = noise + stripes[..., None] + np.array([label * 7 % 80, label * 31 % 80, label * 53 % 80])
        found |= {f"{split}_images": images, f"{split}_labels": labels.astype(np.int16)}
    return found


def _opened(path: Path) -> "Image":
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGB")


def _middle(width: int, height: int, share: float) -> tuple[float, float, float, float]:
    side = share * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _done(rows: np.ndarray, parts: list[Future[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return rows, np.stack([part.result() for part in parts])
