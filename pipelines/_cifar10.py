"""CIFAR-10 from the user's own copy: cifar-10-python.tar.gz as its authors hand it out, or the folder in it, unpacked.

Its batches are pickles, of which each is read only where its md5 is the one that torchvision names (see `_cifar`).
Nobody could check this against the real files here but by those.
"""

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipelines import _cifar
from pipelines._download import SourceError

WHAT = "cifar-10-python.tar.gz, or cifar-10-batches-py/ with data_batch_1 to data_batch_5 and test_batch"
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e",
}  # fmt: skip
_ARCHIVE, _FOLDER, _ROWS, _CLASSES = "cifar-10-python.tar.gz", "cifar-10-batches-py", 10_000, 10


def read(
    root: Path, split: str, what: str, md5: Mapping[str, str] = MD5, rows: int = _ROWS
) -> UInt8[np.ndarray, "n ..."]:
    """Pictures (n, 32, 32, 3) or classes 0..9 (n,) of "train" or "test", in the order of the batches.

    Args:
        root: the folder.
        split, what: "train" or "test"; "images" or "labels".
        md5, rows: of the real batches; others only for a twin on disk.

    Raises:
        SourceError: a batch is missing, cut off or not the authors'.
    """
    names = [name for name in MD5 if name.startswith("test") == (split == "test")]
    found = []
    for name, body in zip(names, _bodies(root, names), strict=True):
        try:
            pictures, labels = _cifar.pictures_of(_cifar.table_of(body, name, md5[name]), name, "labels")
        except ValueError as error:
            raise SourceError(f"{root}: {error}") from None
        if len(labels) != rows or labels.max() >= _CLASSES:
            raise SourceError(f"{name} of {root} must hold {rows} pictures of {_CLASSES} classes, found {len(labels)} "
                              f"of up to {labels.max() + 1}")  # fmt: skip
        found.append(pictures if what == "images" else labels)
    return np.concatenate(found)


def _bodies(root: Path, names: list[str]) -> list[bytes]:
    folder, archive = root / _FOLDER, root / _ARCHIVE
    try:
        if folder.is_dir():
            return [(folder / name).read_bytes() for name in names]
        with tarfile.open(archive) as tar:
            members = {Path(member.name).name: member for member in tar if member.isfile()}
            return [stream.read() for name in names if (stream := tar.extractfile(members[name])) is not None]
    except FileNotFoundError as error:
        raise SourceError(f"{root} must hold {WHAT}, found no {Path(error.filename).name}") from None
    except KeyError as error:
        raise SourceError(f"{archive} must hold {', '.join(names)}, found no {error.args[0]}") from None
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise SourceError(f"{archive} is damaged or cut off ({error})") from None
