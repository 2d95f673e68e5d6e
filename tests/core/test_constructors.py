"""Every field of every class that params.yaml can name x every wrong value: one line that names it, or right."""

import dataclasses
import itertools
import math
import types
from collections import Counter
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch

from gradsurgery.core.discovery import KINDS, available, build, fields_of, find

# The least that each class needs; `arrays` and `starts` are no plain values.
NETWORK = {"overlay": "lenet", "census": "recommender", "synthetic": "recommender", "multi_exit": "sdn_resnet",
           "reconstruction": "autoencoder", "superclass": "cnn", "dial": "fixed_heads", "celeba": "celeba_cnn",
           "celeba_pretrained": "celeba_resnet", "dense": "segnet", "arml": "wide_resnet",
           "imagenet_exits": "msdnet_imagenet", "imagenet_mae": "masked_autoencoder", "ct_mae": "masked_autoencoder",
           "pascal_context": "mobilenet_raspp", "qm9": "mlp", "yeast": "recommender"}  # fmt: skip
NEEDS = {
    "torchjd": {"method": "upgrad"}, "static": {"weights": [0.5, 0.5]}, "single_task": {"task": 0}, "recon": {"k": 0},
    "growing_weights": {"limits": [0.5, 1.0], "epochs": 3},
    "recommender": {"cardinalities": [3, 5], "num_continuous": 2},
    "landscape": {"arrays": {}, "landscape": "cagrad_toy", "steps": 4, "epochs": 2},
    "actor_critic": {"num_tasks": 2, "observations": 3, "actions": 1},
    "task_actor_critic": {"num_tasks": 2, "observations": 3, "actions": 1},
    **{name: {"arrays": {}, "network": {"name": network}, "epochs": 2} for name, network in NETWORK.items()},
    "dense": {"arrays": {}, "network": {"name": "segnet", "width": 4}, "scene": "camvid", "epochs": 2},
    "dense_by_picture": {"arrays": {}, "network": {"name": "segnet", "width": 4}, "scene": "nyuv2", "epochs": 2},
    "separate": {"of": "mtan", "outputs": [1, 3], "width": 4},
    "metaworld_fifty": {"arrays": {}, "network": {"name": "actor_critic"}, "epochs": 2, "episodes": 9},
    "metaworld": {"arrays": {}, "network": {"name": "actor_critic"}, "tasks": ["reach"], "epochs": 2, "episodes": 9},
}  # fmt: skip
NO_PLAIN_VALUES = ("arrays", "starts")
MAY_BE_NEGATIVE = ("initial",)  # of `uncertainty`, a logarithm
NUMBERS = {"negative": -3, "zero": 0, "huge": 10**12, "huger": 10**400, "NaN": math.nan, "infinite": math.inf}
OTHERS = {"text": "neither", "list": ["x"], "mapping": {"zzz": "x"}, "bool": True, "null": None}
LISTS = {f"list of {name}": [value] for name, value in (NUMBERS | OTHERS).items()}
VALUES = NUMBERS | OTHERS | LISTS | {"fraction": 1.5, "empty list": [], "empty mapping": {}, "empty text": ""}


def _fields():
    for kind in KINDS:
        for name in available(kind):
            for field, hint in fields_of(find(kind, name)).items():
                if field not in NO_PLAIN_VALUES and name != "point":
                    yield kind, name, field, hint


FIELDS = list(_fields())


def _kinds(hint):
    """What a field takes: float, int, bool, str, list, dict, None."""
    if get_origin(hint) in (Union, types.UnionType):
        return set().union(*map(_kinds, get_args(hint)))
    if get_origin(hint) is Literal:
        return {type(word) for word in get_args(hint)}
    plain = get_origin(hint) or hint
    return {{tuple: list}.get(plain, dict if plain not in (float, int, bool, str, list, types.NoneType) else plain)}


def _certainly_wrong(field, hint, value):
    """Whatever range the constructor declares."""
    kinds = _kinds(hint)
    if isinstance(value, list) and list in kinds:
        inner = next(get_args(part)[0] for part in (hint, *get_args(hint)) if get_origin(part) in (tuple, list))
        return any(_certainly_wrong(field, inner, entry) for entry in value)
    if type(value) not in kinds and not (type(value) is int and float in kinds):
        return not (value is None and types.NoneType in kinds)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    too_large = number and (abs(value) >= 10**400 if isinstance(value, int) else not math.isfinite(value))
    return (too_large and float in kinds) or (number and value < 0 and field not in MAY_BE_NEGATIVE)


def _outcome(make, name, field):
    try:
        with torch.device("meta"):
            make()
    except ValueError as error:
        said = str(error)
        if "\n" in said or not said.endswith((".", "?")):
            return f"no single sentence: {said!r}"
        # a block of a network's fields is refused by the network
        return "refused" if field in said or ".zzz` is no field" in said else f"does not name {field}: {said}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_field_is_refused_by_name_or_is_right(kind):
    bad, counts = [], Counter()
    for (_, name, field, hint), (label, value) in itertools.product(
        (f for f in FIELDS if f[0] == kind), VALUES.items()
    ):
        fields = {**NEEDS.get(name, {}), field: value}
        outcome = _outcome(lambda name=name, fields=fields: build(kind, name, **fields), name, field)
        counts[outcome if outcome in ("accepted", "refused") else "bad"] += 1
        if outcome == "accepted" and _certainly_wrong(field, hint, value):
            bad.append(f"{name}.{field}: {label} was accepted")
        elif outcome not in ("accepted", "refused"):
            bad.append(f"{name}.{field}: {label}: {outcome}")
    print(f"\n{kind}: {dict(counts)} of {len(VALUES)} values a field, {len(bad)} bad")
    assert not bad, f"{len(bad)}:\n" + "\n".join(bad[:60])


def _numeric():
    for kind, name, field, hint in FIELDS:
        kinds = _kinds(hint)
        if float in kinds or (
            int in kinds and kind not in ("networks", "problems") and get_origin(hint) is not Literal
        ):
            yield pytest.param(kind, name, field, hint, id=f"{name}.{field}")


def _called(cls, fields):
    """`cls` and the dataclass that it takes, if any, called without a look at the values."""
    for parameter, hint in get_type_hints(cls.__init__).items():
        if dataclasses.is_dataclass(hint):
            own = {f.name: fields.pop(f.name) for f in dataclasses.fields(hint) if f.name in fields}
            fields[parameter] = hint(**own)
    return cls(**fields)


@pytest.mark.parametrize(("kind", "name", "field", "hint"), list(_numeric()))
def test_a_constructor_called_directly_refuses_numbers_out_of_its_range(kind, name, field, hint):
    needs = {key: tuple(value) if isinstance(value, list) else value for key, value in NEEDS.get(name, {}).items()}
    endless = (math.nan, math.inf) if float in _kinds(hint) else ()
    for value in (*endless, *(() if field in MAY_BE_NEGATIVE else (type(endless[0])(-3) if endless else -3,))):
        with pytest.raises(ValueError, match=rf"`{field}` must ") as refused:
            _called(find(kind, name), {**needs, field: value})
        assert "\n" not in str(refused.value)


def test_every_class_is_tried():
    assert {(kind, name) for kind, name, _, _ in FIELDS} >= {
        (kind, name) for kind in KINDS for name in available(kind) if fields_of(find(kind, name))
    } - {("networks", "point")}
    assert len(FIELDS) > 150
