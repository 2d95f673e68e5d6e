"""One verdict a claim where several scales were run: that of the highest, and what the others say beside it."""

from collections.abc import Mapping
from typing import Any

from gradsurgery.evidence.costs import steps_per_seed
from gradsurgery.evidence.groups import Groups
from gradsurgery.ledger.protocol import Protocol

Entries = Mapping[str, Mapping[str, Any]]  # verdicts by record id, as in `verdict.json`
Costs = Mapping[str, Mapping[str, Any]]  # of one scale, by experiment


def highest(
    by_scale: Mapping[str, Entries], groups: Mapping[str, Groups], protocol: Protocol, costs: Mapping[str, Costs]
) -> dict[str, Any]:  # fmt: skip
    """The content of `verdict.json` over all scales.

    An entry that was run says its `scale`; where others were run too, `scales` holds the word and number of each of
    them, and `lengths` the difference that each scale found beside the steps that it trained; where the claim is
    registered, `registered` says its scale and how many of its seeds are there under this very protocol. Until all of
    them are, that scale does not decide: what a fixed n of seeds is to say is looked at once.

    Args:
        by_scale: what each scale says, the lowest first.
        groups: the runs of each scale, by experiment.
        protocol: what was registered.
        costs: of each scale.
    """
    found = {}
    for claim, lowest in next(iter(by_scale.values())).items():
        run = {scale: own[claim] for scale, own in by_scale.items() if not own[claim]["verdict"].startswith("not run")}
        design = protocol.design(claim)
        there = protocol.there(design, groups.get(design.scale, {})) if design else 0
        whole = [scale for scale in run if not design or scale != design.scale or there >= design.n]
        last = next(reversed(whole or run), None)
        entry = dict(run[last] if last else lowest)
        if last:
            entry["scale"] = last
        if len(run) > 1:
            entry["scales"] = {
                scale: {"verdict": own["verdict"], "ours": own["ours"]} for scale, own in run.items() if scale != last
            }
            lengths = [
                _length(scale, own, costs[scale]) for scale, own in run.items() if _has_length(own, costs[scale])
            ]
            entry |= {"lengths": lengths} if len(lengths) > 1 else {}
        if design:
            entry["registered"] = {"scale": design.scale, "n": design.n, "there": there}
        found[claim] = entry
    return found


def _has_length(entry: Mapping[str, Any], costs: Costs) -> bool:
    return "difference" in entry and entry["experiment"] in costs


def _length(scale: str, entry: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    steps = round(steps_per_seed(costs[entry["experiment"]]))
    return {"scale": scale, "steps": steps, "difference": entry["difference"]["difference"]}


def told(entry: Mapping[str, Any]) -> str:
    """What stands behind an entry's scale and track: seeds that are still to come, and what the other scales say."""
    design = entry.get("registered", {"scale": "", "n": 0, "there": 0})
    few = f"{design['there']} of {design['n']} registered seeds" if design["there"] < design["n"] else ""
    said = f"; {few}" if few and design["scale"] == entry.get("scale") else ""
    for scale, other in entry.get("scales", {}).items():
        word = f"after {few}" if few and scale == design["scale"] else other["verdict"]
        said += f"; at {scale} {word}, {other['ours']}"
    return said
