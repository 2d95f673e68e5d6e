"""The block `datasets` of params.yaml: what `fetch` gets, and the pins that decide whether it is the right thing."""

import re
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.discovery import require
from pipelines._blocks import fields, known, named
from pipelines._sources import OWN, ways

FORMATS = ("idx", "bytes", "cifar100_images", "cifar100_labels")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256, _MD5 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")


def read_datasets(block: Any) -> Mapping[str, Any]:
    """The block as it is. Raises ValueError for the first thing that is missing, unknown or of the wrong kind."""
    for name, dataset in named("datasets", block).items():
        where = f"datasets.{name}"
        dataset = fields(where, dataset, {"arrays", "sources"}, {"title", "licence"})
        require(f"{where}.sources", dataset["sources"], list[dict])
        if not named(f"{where}.arrays", dataset["arrays"]):
            raise ValueError(f"`{where}.arrays` must hold an array, found none.")
        own = bool(dataset["sources"]) and all(source.get("kind") in OWN for source in dataset["sources"])
        for field in ("title", "licence"):
            if field in dataset or not own:
                require(f"{where}.{field}", dataset.get(field), str)
        for array, pin in dataset["arrays"].items():
            _check_pin(f"{where}.arrays.{array}", pin, set() if own else {"file", "sha256"})
        ways(name, dataset)  # refuses a source that is not written as its kind needs
    return named("datasets", block)


def _check_pin(where: str, pin: Any, required: set[str]) -> None:
    pin = fields(where, pin, required, {"file", "sha256", "packaged", "entry", "format", "md5"})
    form = known(f"{where}.format", pin.get("format", FORMATS[0]), FORMATS)
    for field in ("file", "packaged", "entry"):
        if not _FILE.fullmatch(str(pin.get(field, "x"))) or not isinstance(pin.get(field, ""), str):
            raise ValueError(f"`{where}.{field}` must be the name of a file, without a folder, found {pin[field]!r}.")
    if "sha256" in pin:
        check_hash(f"{where}.sha256", pin["sha256"])
    if form.startswith("cifar100") != ("md5" in pin):
        raise ValueError(f"`{where}.md5` must be given for CIFAR-100, and only there, found format {form}.")
    if "md5" in pin and not (isinstance(pin["md5"], str) and _MD5.fullmatch(pin["md5"])):
        raise ValueError(f"`{where}.md5` must be 32 hexadecimal digits, found {pin['md5']!r}.")


def check_hash(where: str, value: Any) -> None:
    """Refuses what is no sha256."""
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"`{where}` must be a sha256, 64 hexadecimal digits, found {value!r}.")
