"""The block `datasets` of params.yaml: what `fetch` gets; data/pins.yaml decides whether it is the right thing."""

import re
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.discovery import require
from pipelines._blocks import fields, known, named, whole_blocks
from pipelines._formats import FORMATS
from pipelines._pins import PINS
from pipelines._sources import OWN, check_sources, ways

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MD5 = re.compile(r"[0-9a-f]{32}")


def read_datasets(table: Any, pins: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The data sets, each array with its pin as `sha256`.

    Raises:
        ValueError: for the first thing that is missing, unknown or of the wrong kind.
    """
    found = whole_blocks("datasets", table)
    for name, dataset in found.items():
        where = f"datasets.{name}"
        dataset = fields(where, dataset, {"arrays", "sources"}, {"title", "licence", "needs"})
        require(f"{where}.sources", dataset["sources"], list[dict])
        check_sources(name, dataset["sources"])  # before its arrays: their kind decides what an array must hold
        require(f"{where}.needs", dataset.get("needs", {}), dict[str, list[str]])  # by extra the modules it brings
        if not named(f"{where}.arrays", dataset["arrays"]):
            raise ValueError(f"`{where}.arrays` must hold an array, found none.")
        own = bool(dataset["sources"]) and all(source.get("kind") in OWN for source in dataset["sources"])
        for field in ("title", "licence"):
            if field in dataset or not own:
                require(f"{where}.{field}", dataset.get(field), str)
        for array, said in dataset["arrays"].items():
            _check_array(f"{where}.arrays.{array}", said, set() if own else {"file"})
        ways(name, dataset)  # refuses what only shows when a source is put together
        found[name] = {**dataset, "arrays": _pinned(name, dataset["arrays"], pins.get(name, {}), own)}
    return found


def _pinned(name: str, arrays: Mapping[str, Any], pins: Mapping[str, str], own: bool) -> dict[str, Any]:
    for array in pins:
        known(f"{PINS}: datasets.{name}", array, arrays)
    if not own and (missing := sorted(set(arrays) - set(pins))):
        raise ValueError(f"`{PINS}` must hold the sha256 of `datasets.{name}.{missing[0]}`, found none.")
    return {array: {**said, "sha256": pins[array]} if array in pins else said for array, said in arrays.items()}


def _check_array(where: str, pin: Any, required: set[str]) -> None:
    pin = fields(where, pin, required, {"file", "packaged", "entry", "format", "md5"})
    form = known(f"{where}.format", pin.get("format", FORMATS[0]), FORMATS)
    for field in ("file", "packaged", "entry"):
        if not _FILE.fullmatch(str(pin.get(field, "x"))) or not isinstance(pin.get(field, ""), str):
            raise ValueError(f"`{where}.{field}` must be the name of a file, without a folder, found {pin[field]!r}.")
    if form.startswith("cifar100") != ("md5" in pin):
        raise ValueError(f"`{where}.md5` must be given for CIFAR-100, and only there, found format {form}.")
    if "md5" in pin and not (isinstance(pin["md5"], str) and _MD5.fullmatch(pin["md5"])):
        raise ValueError(f"`{where}.md5` must be 32 hexadecimal digits, found {pin['md5']!r}.")
