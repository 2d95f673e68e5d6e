"""Every field of params.yaml x every kind of wrong value: one line that names the parameter, or rightly accepted.

The document is walked, not listed: a new field is tested by being there. It is cut into small documents of one problem
and one line, so that a case takes a millisecond, and a field that the same code checks is tried once. Kinds are those
of the committed values, ranges those that the constructors declare; what is legitimate beyond both is in `MAY_BE`.
"""

import json
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines._blocks import whole_block, whole_blocks
from pipelines._params import read
from pipelines._problems import SCALES, SLOTS
from pipelines._sources import KINDS
from pipelines._yaml import parse, read_yaml

ROOT = Path(__file__).parents[2]
DOCUMENT, PINNED = read_yaml(ROOT / "params.yaml"), read_yaml(ROOT / "data/pins.yaml")
REMOVED = object()
VALUES = {
    "missing": REMOVED,
    "text": "neither",
    "list": [3],
    "mapping": {"x": 1},
    "bool": True,
    "null": None,
    "negative": -3,
    "zero": 0,
    "huge": 10**12,
    "NaN": math.nan,
    "infinite": math.inf,
}
# What must be refused whatever the constructor says, by the kind of the committed value. "zero", "huge" and "null" are
# the constructors' to judge, as is a missing field that may have a default.
WRONG = {
    "number": ("text", "list", "mapping", "bool", "negative", "NaN", "infinite"),
    "text": ("list", "mapping", "bool", "negative", "zero", "huge", "NaN", "infinite"),
    "bool": ("text", "list", "mapping", "negative", "zero", "huge", "NaN", "infinite"),
    "list": ("text", "mapping", "bool", "negative", "zero", "huge", "NaN", "infinite"),
    "block": ("text", "list", "bool", "negative", "zero", "huge", "NaN", "infinite"),
}
MAY_BE = {
    ("threshold", "negative"): False,  # of Recon: above -1, so that -3 is refused
    ("title", "text"): True,
    ("seeds", "list"): True,  # or a count
    ("passes", "huge"): True,  # or `exits + 1`
    ("licence", "text"): True,
    ("reason", "text"): True,
}


# that are run at scale laptop, on which documents are made; who reads the others is the same code
PROBLEMS = {
    name: block for name, block in whole_blocks("problems", DOCUMENT["problems"]).items()
    if block.get("laptop", {}) is not None
}  # fmt: skip
DATASETS = whole_blocks("datasets", DOCUMENT["datasets"])
LINES = {
    (name, key): whole_block(key, {"like": key, **(own or {})}, "methods", DOCUMENT["methods"])
    for name, block in PROBLEMS.items()
    for key, own in block["methods"].items()
}


def _first(entries):
    return dict(list(entries.items())[:1])


def _small(problem, *keys, **studies):
    """A document with one problem and some of its lines, nothing `like` another; `pins` stands for data/pins.yaml."""
    block = {**PROBLEMS[problem], "methods": dict.fromkeys(keys)}
    block |= {
        scale: {**block[scale], "methods": list(keys)} for scale in SCALES if "methods" in (block.get(scale) or {})
    }
    sets = {block["prepare"][side] for side in ("left", "right") if side in block["prepare"]}
    arrays = {name: _first(DATASETS[name]["arrays"]) for name in sets}
    pinned = {name: {array: PINNED["datasets"][name][array] for array in own} for name, own in arrays.items()}
    return {
        "scale": "laptop",
        "compute": {"device": "auto", "precision": "float32"},
        "datasets": {name: {**DATASETS[name], "arrays": own} for name, own in arrays.items()},
        "methods": {key: {**LINES[problem, key], "role": "study"} for key in keys},
        "problems": {problem: block},
        "regression": {"bands": {"loss": 0.05}, "exceptions": {}},
        "pins": {"datasets": pinned, "problems": {problem: _first(PINNED["problems"][problem])}},
        **({"studies": studies} if studies else {}),
    }


def _paths(value, path):
    """Every path below `path`, that of blocks and list entries included."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from ((*path, key), *_paths(entry, (*path, key)))
    elif isinstance(value, list):
        for place, entry in enumerate(value[:1]):
            yield from ((*path, place), *_paths(entry, (*path, place)))


def _under(document, *path):
    inner = document
    for key in path:
        inner = inner[key]
    return [path, *_paths(inner, path)]


def _field(document, path):
    """What `path` is a field of; the same in two documents where the same code checks it."""
    section, name, part, *rest = (*path, None, None)[: max(3, len(path))]
    module = next(iter(document["problems"].values()))["module"]
    filler = document[section][name][part].get("name") if part in SLOTS else None
    if part == "sources":
        filler = document[section][name][part][0]["kind"]
    if section == "methods" and part:
        return module, part, filler, *rest
    if part:
        lists = {"methods", "arrays", "problems", "datasets"}  # of names: one stands for all
        inner = ("any" if before in lists else key for before, key in pairwise(path))
        return section, module if section == "problems" else None, filler, *inner
    return path if section not in ("methods", "problems", "datasets") else (section, len(path))


def _documents():
    """Small documents and the paths in them, those of lines first."""
    for problem, block in PROBLEMS.items():
        for key in block["methods"]:
            if "evidence" not in LINES[problem, key]:
                document = _small(problem, key)
                yield document, _under(document, "methods", key)
        document = _small(problem, next(iter(block["methods"])))
        yield document, [*_under(document, "problems", problem), *_under(document, "datasets")]
    yield document, _under(document, "pins")
    document = _small("multi_fashion_mnist_resnet", "sum-search", "recon-sum-random_parameters")
    yield document, _under(document, "methods", "recon-sum-random_parameters")
    document = _small("census", "sum", "sum-long")
    document["methods"]["sum-long"]["role"] = DOCUMENT["methods"]["sum-long"]["role"] | {"of": "sum"}
    document["problems"]["census"]["methods"]["sum-long"] = {**LINES["census", "sum-long"], "role": "study"}
    document["problems"]["twin"] = {
        "like": "census",
        "prepare": {"seed": 1},
        "methods": {"sum": {"like": "sum-long", "role": "study"}},
        **{
            scale: {"methods": ["sum"]}
            for scale in SCALES
            if "methods" in document["problems"]["census"].get(scale, {})
        },
    }
    yield document, _under(document, "methods", "sum-long", "role")
    yield document, _under(document, "problems", "census", "methods", "sum-long")
    yield document, [("problems", "twin", "like"), ("problems", "twin", "methods", "sum", "like")]
    document = _small("pcgrad_toy", "sum")
    document["regression"] = {
        "bands": {"loss": 0.05, "solved": 0.0},
        "exceptions": {"pcgrad_toy": {"loss": {"band": 60.0, "reason": "chaotic"}}},
    }
    for section in ("scale", "compute", "regression"):
        yield document, _under(document, section)
    for kind in KINDS:  # of sources
        document = _small("multi_mnist", "sum")
        source = {"kind": kind, **dict.fromkeys(sorted(KINDS[kind]), "a:b")}
        document["datasets"]["mnist"] = {**document["datasets"]["mnist"], "sources": [source]}
        yield document, _under(document, "datasets", "mnist", "sources")
    yield document, [(section,) for section in ("datasets", "problems", "methods")]
    search = {"methods": ["sum", "pcgrad"], "static": "sum", "trials": 2, "seed": 0, "seeds": [1, 2]}
    studies = {
        "search": {"census": search},
        "smoke": {"problems": ["census"], "trials": 2},
    }
    document = _small("census", "sum", "pcgrad", **studies)
    yield document, _under(document, "studies")


def _kind(value):
    for kind, types in (("bool", bool), ("number", int | float), ("text", str), ("list", list), ("block", dict)):
        if isinstance(value, types):
            return kind
    return "null"


def _at(document, path):
    for key in path:
        document = document[key]
    return document


def _changed(document, path, value):
    """A copy along the path; the rest is shared, as nothing writes into it."""
    changed = list(document) if isinstance(document, list) else dict(document)
    if len(path) > 1:
        changed[path[0]] = _changed(document[path[0]], path[1:], value)
    elif value is not REMOVED:
        changed[path[0]] = value
    else:
        del changed[path[0]]
    return changed


def _read(document):
    return read(
        {section: block for section, block in document.items() if section != "pins"},
        document.get("pins", {}),
        first=1000,
    )


def _outcome(document, path, held=()):
    """ "accepted", "refused", or what is wrong with the refusal."""
    try:
        _read(document)
    except ValueError as error:
        said = str(error)
        if "\n" in said or not said.endswith((".", "?")):
            return f"no single sentence: {said!r}"
        name = next(key for key in reversed(path) if isinstance(key, str))
        # what is wrong with a block may be said of what it holds (`mapping`), and what is missing of the block around,
        # of what was in it, or of the fields of what then takes its place
        instead = {"name": ["` is no field of"], "like": ["must be given"], "sources": ["must hold `file`"]}
        inner = [f".{key}`" for key in held] + instead.get(name, [])
        named = (name, ".x` is no field", *(f".{key}` must hold" for key in path[-2:-1]), *inner)
        return "refused" if any(each in said for each in named) else f"does not name {name}: {said}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def _cases():
    seen = set()
    for document, paths in _documents():
        for path in paths:
            if (field := _field(document, path)) not in seen:
                seen.add(field)
                yield document, path


CASES = list(_cases())


def test_the_small_documents_are_good_and_hold_every_filler_and_field():
    for document in {id(document): document for document, _ in CASES}.values():
        _read(document)
    named = {(slot, _at(d, p)) for d, p in CASES for slot in SLOTS if p[-2:] == (slot, "name")}
    blocks = [*PROBLEMS.values(), *LINES.values()]
    assert named == {(slot, block[slot]["name"]) for block in blocks for slot in SLOTS if "name" in block.get(slot, {})}


@pytest.mark.parametrize("name", VALUES)
def test_a_wrong_value_is_refused_by_name_or_is_right(name):
    bad, counts = [], Counter()
    for document, path in CASES:
        kind = _kind(_at(document, path))
        held = _at(document, path) if name == "missing" and kind == "block" else ()
        outcome = _outcome(_changed(document, path, VALUES[name]), path, held)
        counts[outcome if outcome in ("accepted", "refused") else "bad"] += 1
        last = next(key for key in reversed(path) if isinstance(key, str))
        must = name in WRONG.get(kind, ()) and not MAY_BE.get((last, name), False)
        if outcome == "accepted" and must:
            bad.append(f"{'.'.join(map(str, path))} = {VALUES[name]!r} was accepted")
        elif outcome not in ("accepted", "refused"):
            bad.append(f"{'.'.join(map(str, path))} = {VALUES[name]!r}: {outcome}")
    print(f"\n{name}: {len(CASES)} fields, {dict(counts)}, {len(bad)} bad")
    assert not bad, f"{len(bad)} of {len(CASES)}:\n" + "\n".join(bad[:40])


def test_an_unknown_sibling_is_refused_by_name():
    blocks = [(document, path) for document, path in CASES if isinstance(_at(document, path), dict)]
    bad = []
    for document, path in blocks:
        outcome = _outcome(_changed(document, (*path, "zzz"), 1), ("zzz",))
        if outcome != "refused":
            bad.append(f"{'.'.join(map(str, path))}.zzz: {outcome}")
    print(f"\nunknown sibling: {len(blocks)} blocks, {len(bad)} bad")
    assert not bad, "\n".join(bad[:40])


def test_a_doubled_name_is_refused_with_its_line():
    doubled = [(_at(document, path[:-1]), path[-1]) for document, path in CASES if isinstance(path[-1], str)]
    for block, key in doubled:
        entries = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in {**block, key: block[key]}.items()]
        text = "outer:\n  {" + ",\n  ".join([*entries, f"{json.dumps(key)}: {json.dumps(block[key])}"]) + "}"
        line = len(entries) + 2
        found = re.escape(f'params.yaml:{line}: must be valid YAML, found: found duplicate key "{key}"')
        with pytest.raises(ValueError, match=rf"^{found}[^\n]*\.$"):
            parse(text, "params.yaml")
    print(f"\nduplicated: {len(doubled)} fields")
