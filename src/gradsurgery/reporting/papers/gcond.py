"""GCond: is it the resolution of conflicts, or the smoothing of the gradient and an optimiser without momentum?

The paper holds its method against baselines whose optimiser has the usual momentum, while its own has none because the
method smooths the gradient itself. Two controls take this apart: the weighted sum, smoothed and stepped in the same way
but without any resolution (`sum-ema`); and GCond's resolution without smoothing under the common optimiser
(`gcond-raw`).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.reporting.findings import direction
from gradsurgery.reporting.history import Run
from gradsurgery.reporting.section import Drawing, Evidence, Section, Sheet
from gradsurgery.reporting.selection import select
from gradsurgery.reporting.statistics import Summary, summarise, test_noise
from gradsurgery.reporting.style import canvas, colour, family, label, look

_PROBLEM = "cifar100_reconstruction"
_SUM, _CONTROL = "sum", "sum-ema"
_NAMES = {
    "sum": "weighted sum", "sum-ema": "weighted sum, smoothed", "sum-frozen_norm": "weighted sum, frozen norm",
    "gcond": "GCond", "gcond-raw": "GCond, not smoothed", "gcond-stochastic": "GCond, stochastic",
    "gcond-frozen_norm": "GCond, frozen norm", "gcond-zones": "GCond, hard zones",
}  # fmt: skip
_METRICS = {"l1.mae": ("L1 error", "lower", 4), "ssim.ssim": ("SSIM", "higher", 4)}


@dataclasses.dataclass(frozen=True)
class _Line:
    """One method on one problem: its chosen test metrics by seed, its diagnosed steps, and what a step costs."""

    runs: Sequence[Run]
    chosen: Mapping[int, Mapping[str, float]]
    step_ms: Sequence[float]
    passes: float | None

    @property
    def conflicts(self) -> float | None:
        """Share of diagnosed steps on which the gradients that were aggregated had a negative cosine."""
        shares = self._diagnosed("conflict_share")
        return float(np.mean([share > 0 for share in shares])) if shares else None

    @property
    def cosine(self) -> float | None:
        cosines = self._diagnosed("mean_cosine")
        return float(np.mean(cosines)) if cosines else None

    @property
    def resolved(self) -> float | None:
        """Share of diagnosed steps on which a conflict was resolved; None for a method that resolves none."""
        counts = self._diagnosed("method.resolutions")
        return float(np.mean([count > 0 for count in counts])) if counts else None

    def _diagnosed(self, key: str) -> list[float]:
        return [row[key] for run in self.runs for row in run.diagnostics if row.get(key) is not None]


def section(evidence: Evidence) -> Section | None:
    """None where neither the reconstruction problem nor GCond elsewhere was run."""
    lines = _lines(evidence, _PROBLEM)
    elsewhere = _elsewhere(evidence)
    if not {_SUM, "gcond"} <= set(lines):
        lines = {}
    if not lines and not elsewhere:
        return None
    drawings, sheets = [], []
    if lines:
        caption = (
            "Test error and similarity against the weighted sum (paired by seed, 95 % t intervals over seeds that share"
            " the test pictures), and time per training step in multiples of the weighted sum's; dots are seeds."
        )
        drawings.append(Drawing("gcond-reconstruction", _figure(lines), caption))
        sheets = [
            Sheet("gcond-reconstruction", "Reconstruction: quality", _quality(lines)),
            Sheet("gcond-cost", "Reconstruction: what a step costs, and whether there was a conflict", _costs(lines)),
        ]
    if elsewhere:
        sheets.append(Sheet("gcond-elsewhere", "GCond without smoothing on other problems", _other_table(elsewhere)))
    return Section(
        claim=(
            "Accumulating many micro-batches, resolving opposed gradients pair by pair in favour of the steadier task"
            " and smoothing the result gives lower L1 and SSIM losses than the weighted sum, PCGrad and CAGrad, at the"
            " weighted sum's cost per step when every micro-batch serves one task only (stochastic accumulation)."
        ),
        ran=" ".join([*([_ran(lines)] if lines else []), *([_ran_elsewhere(elsewhere)] if elsewhere else [])]),
        found=" ".join([*([_found(lines)] if lines else []), *([_found_elsewhere(elsewhere)] if elsewhere else [])]),
        drawings=drawings,
        sheets=sheets,
    )


def _lines(evidence: Evidence, problem: str) -> dict[str, _Line]:
    lines = {}
    for name in sorted(evidence.groups):
        runs = evidence.groups[name]
        if runs[0].problem != problem or name not in evidence.metrics:
            continue
        rule = evidence.metrics[name]["selection"]
        seeds = list(evidence.costs[name]["seeds"].values()) if name in evidence.costs else []
        lines[runs[0].method] = _Line(
            runs,
            {run.seed: select(run, rule) for run in runs},
            [seed["step_ms"] for seed in seeds],
            float(seeds[0]["backward_passes_per_step"]) if seeds else None,
        )
    return lines


def _elsewhere(evidence: Evidence) -> dict[str, dict[str, _Line]]:
    """Problems other than reconstruction with a GCond line and a sum, whose tasks are all scored by accuracy."""
    problems = sorted({runs[0].problem for runs in evidence.groups.values()} - {_PROBLEM})
    found = {}
    for problem in problems:
        lines = _lines(evidence, problem)
        scored = lines and all(m.endswith(".accuracy") for m in next(iter(lines.values())).runs[0].metrics)
        if scored and _SUM in lines and any(family(m) == "gcond" for m in lines):
            found[problem] = lines
    return found


def _name(method: str) -> str:
    return _NAMES.get(method, label(method))


def _difference(line: _Line, base: _Line, metric: str | None) -> Summary:
    """`line` minus `base`, paired by seed; without a metric of the mean over tasks."""
    seeds = sorted(set(line.chosen) & set(base.chosen))
    pairs = [(line.chosen[s], base.chosen[s]) for s in seeds]
    if metric is None:
        return summarise([float(np.mean(list(a.values())) - np.mean(list(b.values()))) for a, b in pairs])
    return summarise([a[metric] - b[metric] for a, b in pairs])


def _say(summary: Summary, digits: int, signed: bool = True, factor: float = 1.0) -> str:
    form = f"{'+' if signed else ''}.{digits}f"
    text = format(summary.mean * factor, form)
    if summary.low is None or summary.high is None:
        return f"{text} (n = 1)"
    return f"{text} [{summary.low * factor:{form}}, {summary.high * factor:{form}}]"


def _complete(lines: Mapping[str, _Line]) -> dict[str, _Line]:
    """The lines that answer for both tasks, the weighted sum first, GCond's own last."""
    whole = [m for m, line in lines.items() if set(line.runs[0].own_metrics) == set(line.runs[0].metrics)]
    rank = {"sum": 0, "gcond": 2}
    return {m: lines[m] for m in sorted(whole, key=lambda m: (rank.get(family(m), 1), m))}


def _quality(lines: Mapping[str, _Line]) -> pd.DataFrame:
    rows = []
    for method, line in lines.items():
        row = {"method": _name(method), "track": line.runs[0].track, "scale": line.runs[0].scale, "n": len(line.runs)}
        for metric, (name, _, digits) in _METRICS.items():
            own = [values[metric] for values in line.chosen.values() if metric in values]
            row[f"{name} (test)"] = _say(summarise(own), digits, signed=False) if own else "-"
        for base in (_SUM, _CONTROL):
            for metric, (name, better, digits) in _METRICS.items():
                both = base in lines and base != method and all(metric in v for v in line.chosen.values())
                summary = _difference(line, lines[base], metric) if both else None
                row[f"{name} minus {_name(base)}"] = "-" if summary is None else _say(summary, digits)
                if base == _SUM:
                    row[f"{name}: verdict"] = "-" if summary is None else direction(summary, better)
        rows.append(row)
    return pd.DataFrame(rows)


def _costs(lines: Mapping[str, _Line]) -> pd.DataFrame:
    rows = []
    for method, line in lines.items():
        rows.append({
            "method": _name(method),
            "n": len(line.runs),
            "step (ms, median of seeds)": f"{np.median(line.step_ms):.1f}" if line.step_ms else "-",
            "times the weighted sum's": _ratio(line, lines[_SUM]),
            "backward passes per step": "-" if line.passes is None else f"{line.passes:g}",
            "mean cosine of the gradients": "-" if line.cosine is None else f"{line.cosine:+.2f}",
            "diagnosed steps with a conflict (%)": "-" if line.conflicts is None else f"{100 * line.conflicts:.1f}",
            "diagnosed steps with a resolution (%)": "-" if line.resolved is None else f"{100 * line.resolved:.1f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _ratio(line: _Line, base: _Line) -> str:
    """Median with the smallest and largest seed: seconds have no sampling error worth a t interval."""
    if not line.step_ms or not base.step_ms:
        return "-"
    ratios = np.array(line.step_ms) / np.median(base.step_ms)
    return f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


def _figure(lines: Mapping[str, _Line]) -> Figure:
    whole = _complete(lines)
    order = [m for m in whole if m != _SUM][::-1]
    timed = [m for m in [*order, _SUM] if lines[m].step_ms and lines[_SUM].step_ms]
    with look():
        figure = canvas(9.6, 1.3 + 0.3 * len(order))
        panels = figure.subplots(1, 3, sharey=True, width_ratios=[1.2, 1.2, 1.0])
        for axes, (metric, (name, better, _)) in zip(panels, _METRICS.items(), strict=False):
            axes.axvline(0.0, color=colour(_SUM), linewidth=1.0)
            for height, method in enumerate(order):
                summary = _difference(lines[method], lines[_SUM], metric)
                if summary.low is not None and summary.high is not None:
                    axes.plot([summary.low, summary.high], [height, height], "-", color=_shade(method), linewidth=2.2)
                axes.plot(summary.mean, height, "o", color=_shade(method), markersize=5)
            axes.set_xlabel(f"{name} minus that of the weighted sum")
            axes.set_title(f"{name}: {better} is better")
        axes = panels[2]
        base = float(np.median(lines[_SUM].step_ms)) if timed else 1.0
        for method in timed:
            height = order.index(method) if method in order else len(order)
            ratios = np.array(lines[method].step_ms) / base
            axes.barh(height, float(np.median(ratios)), color=_shade(method), alpha=0.4, height=0.6)
            axes.plot(ratios, np.full(len(ratios), height), "o", color=_shade(method), markersize=3)
        axes.axvline(1.0, color=colour(_SUM), linewidth=1.0)
        axes.set_xlabel("time per step over the weighted sum's")
        axes.set_title("cost of a step")
        panels[0].set_yticks(range(len(order) + 1), [*(_name(m) for m in order), _name(_SUM)])
        panels[0].set_ylim(-0.6, len(order) + 0.6)
        for axes in panels:
            axes.grid(visible=False, axis="y")
    return figure


def _shade(method: str) -> str:
    """The control stands out from the weighted sum that it smooths."""
    return "#6e6e6e" if family(method) == _SUM else colour(method)


def _ran(lines: Mapping[str, _Line]) -> str:
    run = lines["gcond"].runs[0]
    settings, rule = run.declaration["settings"], run.declaration["rule"]
    seeds = sorted({len(line.runs) for line in lines.values()})
    tracks = {
        t: [_name(m) for m, line in lines.items() if line.runs[0].track == t] for t in ("controlled", "as-published")
    }
    parts = [f"{t}: {', '.join(names)}" for t, names in tracks.items() if names]
    size = f"{settings['train_size']:,} of its" if settings.get("train_size") else "all its"
    return (
        f"Masked reconstruction on CIFAR-100 ({size} training pictures, {settings.get('hidden', 48)} of 64 patches"
        f" hidden), scale {run.scale}, {len(run.epochs)} epochs, {' or '.join(map(str, seeds))} seeds, steps of"
        f" {rule.get('micro_batches', 1)} micro-batches of {settings['batch_size']} pictures for every method, a small"
        f" convolutional autoencoder with BatchNorm in training mode but where 'frozen norm' is said, AdamW at one"
        f" rate. Tracks: {'; '.join(parts)} (as-published: momentum or BatchNorm as in the official code, not common to"
        " all). The paper's pictures, networks and batches are far larger."
    )


def _found(lines: Mapping[str, _Line]) -> str:
    """For or against the claim, from the paired differences; a control that was not run is said to be missing."""
    base = lines[_SUM]
    parts = [f"GCond against the weighted sum: {_both(lines['gcond'], base)}."]
    if _CONTROL in lines:
        control = lines[_CONTROL]
        parts.append(
            f"The weighted sum smoothed and stepped in the same way, without any resolution: {_both(control, base)}."
        )
        parts.append(f"GCond against that control: {_both(lines['gcond'], control)}.")
        helped = _verdicts(lines["gcond"], base)
        alike = _verdicts(lines["gcond"], control)
        if set(alike) == {"no difference detected"} and "direction only" in helped:
            parts.append(
                "So at this scale what GCond gains is not shown to come from resolving conflicts; smoothing under an"
                " optimiser without momentum does as well."
            )
        elif "direction only" in alike and "not reproduced" not in alike:
            parts.append("So at this scale the resolution of conflicts adds to what the smoothing does.")
    else:
        parts.append("The control that smooths the weighted sum was not run, so that the cause cannot be told.")
    if "gcond-raw" in lines:
        parts.append(f"Resolution alone (not smoothed, the common optimiser): {_both(lines['gcond-raw'], base)}.")
    resolved = [line.resolved for m, line in lines.items() if family(m) == "gcond" and line.resolved is not None]
    if resolved:
        many = "none" if max(resolved) == 0 else f"{100 * float(np.mean(resolved)):.1f} %"
        parts.append(
            f"Of GCond's diagnosed steps {many} had a conflict to resolve (mean cosine {base.cosine or 0.0:+.2f} under"
            " the weighted sum)."
        )
    if "gcond-stochastic" in lines:
        stochastic = lines["gcond-stochastic"]
        parts.append(f"Stochastic against exact accumulation: {_both(stochastic, lines['gcond'])}{_times(lines)}.")
    return " ".join(parts)


def _times(lines: Mapping[str, _Line]) -> str:
    found = [lines[m].step_ms for m in (_SUM, "gcond", "gcond-stochastic")]
    if not all(found):
        return ""
    base, exact, stochastic = (float(np.median(ms)) for ms in found)
    return (
        f"; a step takes {stochastic / exact:.2f} times that of exact accumulation and {stochastic / base:.2f} times"
        " that of the weighted sum"
    )


def _both(line: _Line, base: _Line) -> str:
    said = []
    for metric, (name, better, digits) in _METRICS.items():
        summary = _difference(line, base, metric)
        word = {"direction only": "better", "not reproduced": "worse"}.get(direction(summary, better))
        said.append(f"{name} {_say(summary, digits)}, {word or direction(summary, better)}")
    return f"{'; '.join(said)} (n = {_difference(line, base, next(iter(_METRICS))).n})"


def _verdicts(line: _Line, base: _Line) -> list[str]:
    return [direction(_difference(line, base, metric), better) for metric, (_, better, _) in _METRICS.items()]


def _other_table(elsewhere: Mapping[str, Mapping[str, _Line]]) -> pd.DataFrame:
    rows = []
    for problem, lines in elsewhere.items():
        for method in [m for m in _complete(lines) if family(m) in ("pcgrad", "cagrad", "sam_gs", "gcond")]:
            line, base = lines[method], lines[_SUM]
            summary, noise = _difference(line, base, None), _noise(line, base)
            rows.append({
                "problem": problem, "method": _name(method) if "raw" not in method else label(method),
                "track": line.runs[0].track, "scale": line.runs[0].scale, "n": summary.n,
                "accuracy minus the sum's (points, mean of tasks)": _say(summary, 2, factor=100.0),
                "what the test set's size can explain (points)": f"{100 * noise:.2f}",
                "verdict": direction(summary, "higher", noise),
                "diagnosed steps with a conflict (%)": "-" if line.conflicts is None else f"{100 * line.conflicts:.0f}",
                "step (ms)": f"{np.median(line.step_ms):.1f}" if line.step_ms else "-",
            })  # fmt: skip
    return pd.DataFrame(rows)


def _noise(line: _Line, base: _Line) -> float:
    size = line.runs[0].test_size
    return 0.0 if size is None else test_noise(_shares(line, base), size)


def _shares(line: _Line, base: _Line) -> list[tuple[float, float]]:
    rows, others = list(line.chosen.values()), list(base.chosen.values())
    return [(float(np.mean([r[m] for r in rows])), float(np.mean([r[m] for r in others]))) for m in rows[0]]


def _ran_elsewhere(elsewhere: Mapping[str, Mapping[str, _Line]]) -> str:
    first = next(iter(elsewhere.values()))
    line = first[next(m for m in first if family(m) == "gcond")]
    return (
        f"Besides, GCond on single mini-batches, not smoothed, on {', '.join(elsewhere)} (scale {line.runs[0].scale},"
        f" track {line.runs[0].track}, {len(line.runs)} seeds), which is outside the regime its authors recommend."
    )


def _found_elsewhere(elsewhere: Mapping[str, Mapping[str, _Line]]) -> str:
    said = []
    for problem, lines in elsewhere.items():
        for method in [m for m in lines if family(m) == "gcond"]:
            line, base = lines[method], lines[_SUM]
            summary = _difference(line, base, None)
            word = direction(summary, "higher", _noise(line, base))
            word = {"direction only": "more accurate", "not reproduced": "less accurate"}.get(word, word)
            share = (
                "" if line.resolved is None else f", {100 * line.resolved:.0f} % of diagnosed steps with a resolution"
            )
            said.append(f"{problem}, {label(method)}: {_say(summary, 2, factor=100.0)} points, {word}{share}")
    return f"On single mini-batches, accuracy minus the sum's: {'; '.join(said)}."
