"""Findings as text, and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict

from gradsurgery.certify.search import Finding, broken_claims

_HEAD = f"{'property':<22}{'claimed':<9}{'found':<16}{'tolerance':<11}{'worst':<9}"


def head() -> str:
    """The line above `line`s."""
    return f"{_HEAD}\n{'-' * (len(_HEAD) + 4)}"


def line(found: Finding) -> str:
    """One finding, with the J that broke it below."""
    claimed = "yes" if found.claimed else "no"
    shown = f"{found.name:<22}{claimed:<9}{found.verdict:<16}{tolerance(found):<11}{worst(found):<9}"
    why = f" ({found.note})" if found.note else ""
    if found.counterexample is None:
        return (shown + why).rstrip()
    return f"{shown.rstrip()}\n    J = {found.counterexample}{why}"


def tolerance(found: Finding) -> str:
    return "exact" if found.tolerance == 0.0 else f"{found.tolerance:.0e}"


def worst(found: Finding) -> str:
    """Largest violation seen, with one digit: more would not be the same on another machine."""
    if found.worst is None:
        return "-"
    return "inf" if math.isinf(found.worst) else "0" if found.worst == 0.0 else f"{found.worst:.0e}"


def summary(name: str, findings: Sequence[Finding]) -> str:
    """What may be said of the method."""
    kept = [each.name for each in findings if each.claimed and each.verdict == "holds"]
    more = [each.name for each in findings if not each.claimed and each.verdict == "holds"]
    broken = broken_claims(findings)
    lines = [f"{name} is certified: {', '.join(kept) or 'nothing, as it claims nothing that holds'}."]
    if more:
        lines.append(f"Holds too, without being claimed: {', '.join(more)}.")
    if broken:
        lines.append(f"Claimed, and broken: {', '.join(broken)}.")
    if late := [each.name for each in findings if each.verdict == "no answer"]:
        lines.append(f"No answer: {', '.join(late)}.")
    return "\n".join(lines)


def to_json(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Plain records; an infinite violation is the text "inf", as JSON has none."""
    return [asdict(each) | {"worst": "inf" if each.worst == math.inf else each.worst} for each in findings]
