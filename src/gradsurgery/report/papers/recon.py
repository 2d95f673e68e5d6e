"""Recon: does splitting the layers that conflict most take conflict away where surgery does not, and is it worth it?"""

from collections.abc import Mapping, Sequence

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.layer_conflict import Comparison, compare, scored
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.words import BETTER, WORSE
from gradsurgery.report import layer_figures
from gradsurgery.report.layer_figures import Pairs
from gradsurgery.report.layer_tables import (
    accuracy_table,
    conflict_table,
    control_table,
    layer_table,
    name,
    points,
)
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet, declared
from gradsurgery.report.style import label
from gradsurgery.report.titles import where

PROBLEM = "multi_fashion_mnist_resnet"
BASELINE = "sum"

Groups = Mapping[str, Sequence[Run]]
Gains = Mapping[str, Contrast]


def section(evidence: Evidence) -> Section | None:
    """The section, or None where there are no histories of a baseline and of a Recon network."""
    whole = [g for g in evidence.groups.values() if g[0].problem == PROBLEM and g[0].own_metrics == g[0].metrics]
    groups = {g[0].method: g for g in sorted(whole, key=_place)}
    recon = {m: g for m, g in groups.items() if g[0].declaration["transform"]["name"] == "recon"}
    sources = {g[0].declaration.get("evidence") for g in recon.values()}
    bases = {m: g for m, g in groups.items() if m not in recon and g[0].experiment not in sources}
    if BASELINE not in bases or not scored(bases[BASELINE][0]) or not recon:
        return None
    pairs = {m: (bases[m], recon[f"recon-{m}"]) for m in bases if f"recon-{m}" in recon}
    pairs = {m: sides for m, sides in pairs.items() if scored(sides[0][0]) and scored(sides[1][0])}
    if not pairs:
        return None
    first = next(iter(pairs.values()))[1][0]
    S = layer_figures.common_threshold(pairs, float(first.declaration["transform"].get("threshold", 0.0)))
    found = evidence.contrasts.of("recon", PROBLEM)
    gains = {c.method: c for c in sorted(found, key=lambda c: c.minus == BASELINE, reverse=True) if c.minus in bases
             and (c.minus == BASELINE or c.method != f"recon-{BASELINE}")}  # fmt: skip
    against = {m: c.minus for m, c in gains.items()}
    rows = _comparisons(bases, recon, against, S)
    ours = {c.minus: c for c in found if c.method == f"recon-{BASELINE}"}
    controls = [ours[m] for m, g in recon.items() if m in ours and g[0].role.of == f"recon-{BASELINE}"]
    search = [g for g in evidence.groups.values() if g[0].experiment in sources]
    shared = where(bases | recon)
    return Section(
        claim=declared(evidence, "recon").claim,
        ran=_ran(first, pairs, search),
        found=f"{_conflict(rows, pairs, S)} {_accuracy(gains, pairs, controls)}",
        drawings=[
            Drawing(
                "recon-equal-loss", layer_figures.at_equal_loss(pairs, S, {name(m): c for m, c in rows.items()}),
                f"Conflict of the raw gradients (cosine below {S:g}) at equal training loss and at equal step. Surgery "
                "is held against the sum, a Recon network against the same method without it.",
            ),
            Drawing(
                "recon-layers", layer_figures.by_layer(pairs, S),
                "Conflict in every shared layer, whole training, from the input (top) to the last shared layer, under "
                "the names of the paper's code. Grey rows became the tasks' own.",
            ),
            Drawing(
                "recon-cosines", layer_figures.cosines(pairs),
                "Cosine between the tasks' raw gradients on the whole shared vector; diagnosed steps of all seeds. "
                + layer_figures.cosine_spread(pairs),
            ),
        ],
        sheets=[
            Sheet(
                "recon-accuracy", f"Accuracy, and what it costs in parameters. {shared}",
                accuracy_table(bases, recon, gains, evidence.metrics),
            ),
            Sheet(
                "recon-conflict", f"Share of steps in conflict (cosine below {S:g}): differences. {shared}",
                conflict_table(rows, against, bases | recon),
            ),
            Sheet(
                "recon-controls",
                f"Recon on the sum minus its controls: accuracy, mean of tasks"
                f"{f', {controls[0].pairing}' if controls else ''}. {shared}",
                control_table(controls, recon, bases[BASELINE]),
            ),
            Sheet(
                "recon-layers",
                f"Every shared layer: score in the search, and conflict without and with Recon. {shared}",
                layer_table(next(iter(pairs.values())), search, S),
            ),
        ],
    )  # fmt: skip


def _comparisons(bases: Groups, recon: Groups, against: Mapping[str, str], S: float) -> dict[str, Comparison]:
    lines = {m: g for m, g in (*bases.items(), *recon.items()) if m != BASELINE and scored(g[0])}
    return {m: compare(g, bases[against[m]], S) for m, g in lines.items() if scored(bases[against[m]][0])}


def _ran(run: Run, pairs: Pairs, search: Sequence[Sequence[Run]]) -> str:
    settings, transform = run.declaration["settings"], run.declaration["transform"]
    seeds = min(len(side) for sides in pairs.values() for side in sides)
    S = transform.get("threshold", 0.0)
    sought = f", counted by {label(search[0][0].method)} over {len(search[0][0].epochs)} epochs" if search else ""
    return (
        f"Multi-Fashion+MNIST with ResNet-18 of width {settings['network'].get('width', 64)} (the paper: 64), "
        f"{settings.get('train_size') or 'all'} training pictures, {len(run.epochs)} epochs; scale {run.scale}, track "
        f"{run.track}, n = {seeds} seeds, paired. Recon splits the k = {transform['k']} layers that conflict most at "
        f"S = {S:g}{sought}; all seeds share one ranking."
    )


def _conflict(rows: Mapping[str, Comparison], pairs: Pairs, S: float) -> str:
    surgery = [c.whole_loss for m, c in rows.items() if not m.startswith("recon-")]
    split = [rows[f"recon-{m}"] for m in pairs]
    spoken = [f"surgery changes it by {_range(surgery)} against the sum"] if surgery else []
    spoken.append(
        f"Recon changes it by {_range([c.whole_loss for c in split])} against the same method without, on the whole "
        f"shared vector, and by {_range([c.layers_loss for c in split])} in the layers that both networks share"
    )
    random = rows.get(f"recon-{BASELINE}-random")
    if random is not None:
        spoken.append(f"as many random layers change it there by {points(random.layers_loss)}")
    return (
        f"Share of steps in which the raw gradients conflict (cosine below {S:g}), in points, at equal training loss: "
        f"{'; '.join(spoken)}."
    )


def _accuracy(gains: Gains, pairs: Pairs, controls: Sequence[Contrast]) -> str:
    split = [gains[f"recon-{m}"] for m in pairs]
    beyond = sum(c.verdict in (BETTER, WORSE) for c in split)
    text = (
        f"Accuracy, in points, mean of tasks, changes with Recon by {_range([c.difference for c in split])}, beyond "
        f"the noise of seeds and test set for {beyond} of {len(split)} methods"
    )
    if controls:
        told = ", ".join(f"{name(c.minus)} {points(c.difference)}" for c in controls)
        text += f"; Recon on the sum minus its controls: {told}"
    return f"{text} (n = {split[0].difference.n}, {split[0].pairing}, exploratory and uncorrected)."


def _range(summaries: Sequence[Summary | None]) -> str:
    """`-42.2 to -36.2 (4 of 4 intervals below zero, 0 above)`."""
    known = [s for s in summaries if s is not None]
    if not known:
        return "an unknown amount (no common training loss)"
    low, high = (100 * bound([s.mean for s in known]) for bound in (min, max))
    span = f"{low:+.1f}" if len(known) == 1 else f"{low:+.1f} to {high:+.1f}"
    if any(s.low is None or s.high is None for s in known):
        return f"{span} (one seed, no interval)"
    below, above = (sum(test(s) for s in known) for test in (_below, _above))
    return f"{span} ({below} of {len(known)} intervals below zero, {above} above)"


def _below(summary: Summary) -> bool:
    return summary.high is not None and summary.high < 0


def _above(summary: Summary) -> bool:
    return summary.low is not None and summary.low > 0


def _place(group: Sequence[Run]) -> tuple[bool, bool, str]:
    """The sum first, then in alphabetical order."""
    method = group[0].method
    return (method not in (BASELINE, f"recon-{BASELINE}"), method.startswith(f"recon-{BASELINE}"), method)
