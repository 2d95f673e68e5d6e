"""The block `methods` of params.yaml: whose each method is, and what its lines are there for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradsurgery.core.discovery import did_you_mean
from gradsurgery.evidence.roles import Role, read_role
from pipelines._blocks import fields, named

if TYPE_CHECKING:
    from pipelines._params import Experiment
Methods = Mapping[str, tuple[str, Role]]  # family and role


def read_methods(block: Any) -> Methods:
    """Family and role of every method; a kind that needs nothing more may stand alone, `role: study`."""
    found = {}
    for key, own in named("methods", block).items():
        own = fields(f"methods.{key}", own, {"family", "role"})
        named(f"methods.{key}.family", {own["family"]: None})
        role = {"kind": own["role"]} if isinstance(own["role"], str) else own["role"]
        found[key] = own["family"], read_role(f"methods.{key}.role", role)
    return found


def check_roles(lines: Mapping[str, "Experiment"]) -> None:
    """What a role names must be another line of the same problem."""
    for line in lines.values():
        others = [n.removeprefix(f"{line.problem}-") for n, e in lines.items() if e.problem == line.problem]
        key = line.name.removeprefix(f"{line.problem}-")
        for field, name in line.role.record().items():
            if field != "kind" and (name == key or name not in others):
                raise ValueError(
                    f"`methods.{key}.role.{field}` must name another line of {line.problem}, found {name!r}"
                    f"{did_you_mean(name, others)}"
                )
