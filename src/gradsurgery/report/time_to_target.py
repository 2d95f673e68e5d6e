"""Time to target on the page of costs: what each method pays to be as good as the sum at its end."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.evidence.groups import studied
from gradsurgery.evidence.targets import TAUS, Profile
from gradsurgery.report.marks import legend
from gradsurgery.report.output import Output
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import canvas, colour, label, line, look
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

_NEVER = "never"


def part(sources: Sources, out: Output) -> dict[str, Any] | None:
    """None where no problem has its sum beside another method."""
    frame = _table(sources)
    if frame.empty:
        return None
    profiles, front = sources.measured.profiles, studied(sources.groups)
    caption = (
        "Performance profiles: the share of a method's problems on which it reaches the sum's final validation score "
        "for no more than so many times what the cheapest method there pays; where a line ends below one, it never "
        "reaches the score on the rest. Dialled problems are left out."
    )
    return {
        "sentence": sentence(profiles, front),
        "figure": out.figure("time-to-target", figure(profiles, front), caption) if profiles else None,
        "table": out.table("time-to-target", frame),
    }


def sentence(profiles: Mapping[str, Mapping[str, Profile]], front: Collection[str]) -> str:
    """For every kind of cost, how often the sum is the cheapest, and the best of the methods under study."""
    said = [f"In {kind}, {_shares(methods, front)}" for kind, methods in profiles.items()]
    return f"{'. '.join(said)}." if said else "Too few problems for a profile."


def _shares(methods: Mapping[str, Profile], front: Collection[str]) -> str:
    best = next((m for m in methods if m in front and m != "sum"), "sum")
    two = TAUS.index(2.0)
    return "; ".join(
        f"{label(m)} is the cheapest on {100 * methods[m].shares[0]:.0f} % of its {methods[m].problems} problems and "
        f"within twice the cheapest on {100 * methods[m].shares[two]:.0f} %"
        for m in dict.fromkeys(["sum", best])
        if m in methods
    )


def _table(sources: Sources) -> pd.DataFrame:
    rows = []
    for problem, methods in sources.measured.reaches.items():
        for method, reach in methods.items() if len(methods) > 1 else ():
            row: dict[str, object] = {
                "problem": title(problem), "method": source(f"{problem}-{method}", label(method)),
                "seeds that reach it": f"{reach.reached} of {reach.n}",
            }  # fmt: skip
            for kind, digits in (("epochs", 0), ("backward passes", 0), ("seconds", 1)):
                row[kind] = _said(reach.paid[kind], digits) if kind in reach.paid else "-"
            rows.append(row)
    return pd.DataFrame(rows)


def _said(value: float | None, digits: int) -> str:
    return _NEVER if value is None else f"{value:,.{digits}f}"


def figure(profiles: Mapping[str, Mapping[str, Profile]], front: Collection[str]) -> Figure:
    """A panel for every kind of cost; the methods under study in front."""
    names = sorted({m for methods in profiles.values() for m in methods})
    with look():
        drawn = canvas(9.4, 4.2)
        panels = drawn.subplots(1, len(profiles), sharey=True, squeeze=False).ravel()
        for axes, (kind, methods) in zip(panels, profiles.items(), strict=True):
            for method, profile in methods.items():
                axes.step(
                    TAUS, profile.shares, line(method, names), where="post", color=colour(method),
                    linewidth=1.8 if method in front else 1.0, label=label(method),
                )  # fmt: skip
            axes.set_xscale("log", base=2)
            axes.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
            axes.set_xlabel(f"{kind}, times the cheapest")
        panels[0].set_ylabel("share of problems")
        panels[0].set_ylim(-0.02, 1.02)
        legend(drawn, panels, loc="outside lower center", ncols=5)
    return drawn
