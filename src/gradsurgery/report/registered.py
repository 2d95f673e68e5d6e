"""What protocol.yaml registered, how much of it is there, and what was changed since: tables of the protocol's page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.evidence.measures import measure
from gradsurgery.ledger.protocol import Protocol
from gradsurgery.report.style import NAMES


def page(protocol: Protocol | None, there: Mapping[str, int], changed: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What the page shows; empty tables are None.

    Args:
        protocol: what was registered; None where nothing was.
        there: seeds of each registered claim that were run under this very protocol.
        changed: what `pipelines.deviations` listed.
    """
    if protocol is None or not protocol.designs:
        return {"sha256": None, "designs": None, "margins": None, "changed": None, "alpha": None, "power": None}
    designs = [
        {
            "paper": NAMES.get(key, key), "claim": design.claim.partition("/")[2], "scale": design.scale,
            "compares": " with ".join(design.lines), "seeds": f"{protocol.first_seed} to {protocol.seeds(design)[-1]}",
            "rule": design.rule, "there": f"{there.get(design.claim, 0)} of {design.n}",
        }
        for key, family in protocol.designs.items() for design in family
    ]  # fmt: skip
    margins = [
        {"metric": measure(name).name, "margin": f"{measure(name).factor * value:g}", "unit": measure(name).step or "-"}
        for name, value in protocol.margins.items()
    ]
    return {
        "sha256": protocol.sha256, "alpha": protocol.alpha, "power": protocol.power, "designs": pd.DataFrame(designs),
        "margins": pd.DataFrame(margins), "changed": pd.DataFrame(changed) if changed else None,
    }  # fmt: skip
