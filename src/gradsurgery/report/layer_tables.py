"""Tables of the Recon section: accuracy and parameters, differences in conflict, and every layer's scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.core.layers import ranked
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.layer_conflict import Comparison, added_parameters, layer_shares, scored, scores
from gradsurgery.evidence.measures import SHARE
from gradsurgery.evidence.statistics import Summary, summarise
from gradsurgery.report.layer_names import in_the_paper
from gradsurgery.report.style import label
from gradsurgery.report.tables import measured, source

Groups = Mapping[str, Sequence[Run]]

_BASELINE = "sum"


def name(method: str) -> str:
    """`recon-pcgrad` -> `Recon + PCGrad`."""
    return f"Recon + {label(method.removeprefix('recon-'))}" if method.startswith("recon-") else label(method)


def points(summary: Summary | None) -> str:
    """A share or a difference of shares in points, with its interval."""
    return SHARE.say(summary, signed=True)


def accuracy_table(
    bases: Groups, recon: Groups, gains: Mapping[str, Contrast], metrics: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """One row per line: accuracy, difference to its baseline, layers split and parameters added."""
    rows = []
    for method, runs in (*bases.items(), *recon.items()):
        gain = gains.get(method)
        base = bases[gain.minus if gain else _BASELINE]
        known = method in recon and scored(runs[0]) and scored(base[0])
        split, added, shared = added_parameters(runs, base) if known else (0, 0, 0)
        rows.append({
            "method": source(runs[0].experiment, name(method)),
            **{f"{m} (%)": measured(metrics[runs[0].experiment][m], m) for m in runs[0].metrics},
            "against": "-" if gain is None else name(gain.minus),
            "difference, mean of tasks (points)": points(gain.difference if gain else None),
            "test set alone (points)": SHARE.plain(gain.noise if gain else None),
            "layers split": split if known else "-",
            "parameters added": f"{added:,}" if known else "-",
            "of the shared (%)": f"{100 * added / shared:.2f}" if known else "-",
            "epochs": len(runs[0].epochs),
            "n": len(runs),
        })  # fmt: skip
    return pd.DataFrame(rows)


def conflict_table(rows: Mapping[str, Comparison], against: Mapping[str, str], groups: Groups) -> pd.DataFrame:
    """One row per comparison: differences of the share of steps in conflict."""
    return pd.DataFrame([
        {
            "method": source(groups[method][0].experiment, name(method)),
            "against": name(against[method]),
            "whole vector, equal loss (points)": points(c.whole_loss),
            "whole vector, equal step (points)": points(c.whole_step),
            "layers in common": c.layers,
            "their mean, equal loss (points)": points(c.layers_loss),
            "their mean, equal step (points)": points(c.layers_step),
            "n": c.seeds,
        }
        for method, c in rows.items()
    ])  # fmt: skip


def control_table(controls: Sequence[Contrast], recon: Groups, base: Sequence[Run]) -> pd.DataFrame:
    """One row per control: by how much Recon on the same method is more accurate, and what the control adds."""
    rows = []
    for gain in controls:
        known = scored(recon[gain.minus][0])
        split, added, _ = added_parameters(recon[gain.minus], base) if known else (0, 0, 0)
        rows.append({
            "control": source(recon[gain.minus][0].experiment, name(gain.minus)),
            "Recon minus control (points)": points(gain.difference),
            "test set alone (points)": SHARE.plain(gain.noise),
            "verdict": gain.verdict,
            "layers split": split if known else "-",
            "parameters added": f"{added:,}" if known else "-",
            "epochs": len(recon[gain.minus][0].epochs),
            "n": gain.difference.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def layer_table(sides: tuple[Sequence[Run], Sequence[Run]], search: Sequence[Sequence[Run]], S: float) -> pd.DataFrame:
    """One row per shared layer, in the order of the network: its size, what the search counted, its conflict.

    Args:
        sides: the runs without and with Recon.
        search: the histories from which the layers were chosen.
        S: the threshold.
    """
    before, after = sides
    layers = before[0].layers
    assert layers is not None
    counted = [scores(runs, S) for runs in search if all(scored(run) and _counts(run, S) for run in runs)]
    places = {layer: i + 1 for i, layer in enumerate(ranked(counted[0], list(counted[0])))} if counted else {}
    whole = scores(before, S)
    order = {layer: i + 1 for i, layer in enumerate(ranked(whole, list(whole)))}
    still = layer_shares(after[0], S)
    rows = []
    for layer, size in zip(layers["names"], layers["sizes"], strict=True):
        shares = {
            side: [float(layer_shares(run, S)[layer].mean()) for run in side_runs]
            for side, side_runs in (("before", before), ("after", after))
            if side == "before" or layer in still
        }
        rows.append({
            "layer": in_the_paper(layer),
            "in our network": layer,
            "parameters": f"{size:,}",
            "score in the search": counted[0][layer] if counted else "-",
            "its place": places.get(layer, "-"),
            "place in the whole training": order[layer],
            "in conflict without (% of steps)": source(
                before[0].experiment, SHARE.say(summarise(shares["before"]))
            ),
            "with Recon": source(after[0].experiment, SHARE.say(summarise(shares["after"])))
            if "after" in shares
            else "each task's own",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _counts(run: Run, S: float) -> bool:
    return run.layers is not None and S in run.layers["thresholds"]
