"""Methods beside the static weights of three tasks and more: as a picture, a table and a sentence."""

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.evidence.clouds import Cloud
from gradsurgery.evidence.measures import PLAIN, capital, measure, worded
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.format import level
from gradsurgery.report.style import canvas, colour, label, look


def table(found: Cloud) -> pd.DataFrame:
    """One row a method: its metrics, on how many seeds the front dominates it, and what it adds to the front."""
    how, rows = measure(next(iter(found.metrics))), []
    for method in sorted(found.methods, key=lambda m: -found.methods[m].added.mean):
        one = found.methods[method]
        rows.append({
            "method": label(method),
            **{worded(name): how.say(level(own)) for name, own in zip(found.metrics, one.levels, strict=True)},
            "dominated by a weighting": f"{one.dominated} of {found.seeds} seeds",
            "volume added to the front (%)": PLAIN.say(one.added), "n": found.seeds,
        })  # fmt: skip
    return pd.DataFrame(rows)


def sentence(found: Cloud) -> str:
    """Which methods no weighting dominates on any seed, which always, which on some; and the front's volume."""
    sides: dict[str, list[str]] = {"no seed": [], "every seed": [], "some seeds": []}
    for method, one in found.methods.items():
        side = {0: "no seed", found.seeds: "every seed"}.get(one.dominated, "some seeds")
        sides[side].append(label(method))
    parts = [f"{capital(f'dominated on {side}')}: {'; '.join(names)}" for side, names in sides.items() if names]
    size, how = found.volume, measure(next(iter(found.metrics)))
    unit = f" {how.step}^{len(found.metrics)}" if how.step else ""
    told = dataclasses.replace(how, factor=how.factor ** len(found.metrics)).say(size)
    text = f"{len(found.points)} weightings dominate a volume of {told}{unit} (n = {size.n} seeds)"
    return f"{'. '.join([text, *parts])}."


def figure(found: Cloud) -> Figure:
    """Neighbouring metrics against each other, and the first against the last: weightings grey, methods in colour."""
    names, how = list(found.metrics), measure(next(iter(found.metrics)))
    pairs = list(dict.fromkeys([*((k, k + 1) for k in range(len(names) - 1)), (0, len(names) - 1)]))
    signs = np.array([1.0 if higher else -1.0 for higher in found.metrics.values()])
    weights = np.array(found.points) * signs * how.factor
    with look():
        drawn = canvas(3.2 * len(pairs), 3.6)
        panels = drawn.subplots(1, len(pairs), squeeze=False)[0]
        for axes, (x, y) in zip(panels, pairs, strict=True):
            axes.plot(weights[:, x], weights[:, y], "s", color=colour("static"), markersize=4, label="static weights")
            for method, one in found.methods.items():
                middle = [how.factor * signs[k] * one.levels[k].mean for k in (x, y)]
                reach = [_half(one.levels[k]) * how.factor for k in (x, y)]
                axes.errorbar(
                    *middle, xerr=reach[0], yerr=reach[1], fmt="o", color=colour(method), markersize=5, linewidth=1.0,
                    label=label(method),
                )  # fmt: skip
            axes.set_xlabel(worded(names[x]))
            axes.set_ylabel(worded(names[y]))
        handles, texts = panels[0].get_legend_handles_labels()
        drawn.legend(handles, texts, loc="outside lower center", ncols=4, frameon=False)
    return drawn


def _half(summary: Summary) -> float:
    return 0.0 if summary.low is None or summary.high is None else (summary.high - summary.low) / 2
