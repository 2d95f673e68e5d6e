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
from matplotlib.ticker import MaxNLocator

from gradsurgery.evidence.contrasts import Contrast, Contrasts
from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.report.format import by_word, shown
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet, declared
from gradsurgery.report.style import canvas, colour, family, label, look
from gradsurgery.report.tables import measured, source
from gradsurgery.report.titles import title, where

_PROBLEM = "cifar100_reconstruction"
_SUM, _CONTROL = "sum", "sum-ema"
_NAMES = {
    "sum": "weighted sum", "sum-ema": "weighted sum (smoothed)", "sum-frozen_norm": "weighted sum (frozen norm)",
    "gcond": "GCond", "gcond-raw": "GCond (not smoothed)", "gcond-stochastic": "GCond (stochastic)",
    "gcond-frozen_norm": "GCond (frozen norm)", "single_task-l1": "L1 error alone", "single_task-ssim": "SSIM alone",
}  # fmt: skip
_METRICS = {"l1.mae": ("L1 error", "lower"), "ssim.ssim": ("SSIM", "higher")}


@dataclasses.dataclass(frozen=True)
class _Line:
    """One method on one problem: its runs, its diagnosed steps, and what a step costs."""

    runs: Sequence[Run]
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
    drawings, sheets, ran, found = list[Drawing](), list[Sheet](), list[str](), list[str]()
    if lines:
        ran.append(_ran(lines))
        found.append(_found(lines, evidence))
        caption = (
            "Test error and similarity against the weighted sum (paired by seed, 95 % t intervals over seeds that share"
            " the test pictures), and time per training step in multiples of the weighted sum's; dots are seeds."
        )
        drawings.append(Drawing("gcond-reconstruction", _figure(lines, evidence.contrasts), caption))
        cost, shared = (
            "Reconstruction: what a step costs, and whether there was a conflict",
            where({method: line.runs for method, line in lines.items()}),
        )
        sheets = [
            Sheet("gcond-reconstruction", "Reconstruction: quality", _quality(lines, evidence)),
            Sheet("gcond-cost", f"{cost}. {shared}", _costs(lines)),
        ]
    if elsewhere:
        ran.append(_ran_elsewhere(elsewhere))
        found.append(_found_elsewhere(elsewhere, evidence.contrasts))
        sheets.append(
            Sheet(
                "gcond-elsewhere",
                "GCond without smoothing on other problems",
                _other_table(elsewhere, evidence.contrasts),
            )
        )
    return Section(
        claim=declared(evidence, "gcond").claim,
        ran=" ".join(ran),
        found=" ".join(found),
        drawings=drawings,
        sheets=sheets,
    )


def _lines(evidence: Evidence, problem: str) -> dict[str, _Line]:
    lines = {}
    for method, runs in of(evidence.groups, problem).items():
        seeds = list(evidence.costs.get(runs[0].experiment, {}).get("seeds", {}).values())
        passes = float(seeds[0]["backward_passes_per_step"]) if seeds else None
        lines[method] = _Line(runs, [seed["step_ms"] for seed in seeds], passes)
    return lines


def _elsewhere(evidence: Evidence) -> dict[str, dict[str, _Line]]:
    """Problems other than reconstruction with a GCond line and a sum, whose tasks are all scored by accuracy."""
    found = {}
    for problem in sorted({runs[0].problem for runs in evidence.groups.values()} - {_PROBLEM}):
        lines = _lines(evidence, problem)
        scored = all(m.endswith(".accuracy") for m in next(iter(lines.values())).runs[0].metrics)
        if scored and _SUM in lines and any(family(m) == "gcond" for m in lines):
            found[problem] = lines
    return found


def _name(method: str) -> str:
    return _NAMES.get(method, label(method))


def _minus(contrasts: Contrasts, method: str, other: str, metric: str) -> Contrast:
    found = contrasts.get("gcond", _PROBLEM, method, other, metric)
    assert found is not None
    return found


def _complete(lines: Mapping[str, _Line]) -> dict[str, _Line]:
    """The lines that answer for both tasks, the weighted sum first, GCond's own last."""
    whole = [m for m, line in lines.items() if set(line.runs[0].own_metrics) == set(line.runs[0].metrics)]
    rank = {"sum": 0, "gcond": 2}
    return {m: lines[m] for m in sorted(whole, key=lambda m: (rank.get(family(m), 1), m))}


def _quality(lines: Mapping[str, _Line], evidence: Evidence) -> pd.DataFrame:
    rows, whole = [], _complete(lines)
    for method, line in lines.items():
        run = line.runs[0]
        row: dict[str, object] = {
            "method": source(run.experiment, _name(method)), "track": run.track, "scale": run.scale,
            "n": len(line.runs),
        }  # fmt: skip
        for metric, (name, _) in _METRICS.items():
            row[f"{name} (test)"] = measured(evidence.metrics[run.experiment].get(metric), metric)
        for metric, (name, _) in _METRICS.items():
            found = evidence.contrasts.get("gcond", _PROBLEM, method, _SUM, metric) if method in whole else None
            row[f"{name} minus the weighted sum's"] = _difference(found)
        for metric, (name, better) in _METRICS.items():
            found = evidence.contrasts.get("gcond", _PROBLEM, "gcond", method, metric) if method in whole else None
            row[f"GCond's {name} minus this one's"] = _difference(found)
            row[f"GCond has the {better} {name}"] = found.verdict if found else "-"
        rows.append(row)
    return pd.DataFrame(rows)


def _difference(found: Contrast | None) -> str:
    return "-" if found is None else shown(found).say(found.difference, signed=True)


def _costs(lines: Mapping[str, _Line]) -> pd.DataFrame:
    rows = []
    for method, line in lines.items():
        rows.append({
            "method": source(line.runs[0].experiment, _name(method)),
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


def _figure(lines: Mapping[str, _Line], contrasts: Contrasts) -> Figure:
    whole = _complete(lines)
    order = [m for m in whole if m != _SUM][::-1]
    timed = [m for m in [*order, _SUM] if lines[m].step_ms and lines[_SUM].step_ms]
    with look():
        figure = canvas(9.6, 1.3 + 0.3 * len(order))
        panels = figure.subplots(1, 3, sharey=True, width_ratios=[1.2, 1.2, 1.0])
        for axes, (metric, (name, better)) in zip(panels, _METRICS.items(), strict=False):
            axes.axvline(0.0, color=colour(_SUM), linewidth=1.0)
            for height, method in enumerate(order):
                summary = _minus(contrasts, method, _SUM, metric).difference
                if summary.low is not None and summary.high is not None:
                    axes.plot([summary.low, summary.high], [height, height], "-", color=_shade(method), linewidth=2.2)
                axes.plot(summary.mean, height, "o", color=_shade(method), markersize=5)
            axes.xaxis.set_major_locator(MaxNLocator(4))
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
        axes.set_xlabel("times the weighted sum's step")
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


def _found(lines: Mapping[str, _Line], evidence: Evidence) -> str:
    """For or against the claim, from the paired differences, and what its paper's readings make of them."""
    ours, contrasts = lines["gcond"], evidence.contrasts
    said = f"GCond against the weighted sum: {_both(contrasts, 'gcond', _SUM)}"
    if _CONTROL in lines:
        same = _both(contrasts, "gcond", _CONTROL)
        said += f"; against the weighted sum smoothed and stepped in the same way: {same}"
    said += declared(evidence, "gcond").reading(
        {m: _verdicts(contrasts, "gcond", m) for m in (_SUM, _CONTROL) if m in lines}
    )
    if ours.resolved is not None:
        many = "none" if ours.resolved == 0 else f"{100 * ours.resolved:.1f} %"
        said += f"; {many} of its diagnosed steps had a conflict to resolve (mean cosine {ours.cosine or 0.0:+.2f})"
    said += "."
    if {"gcond-frozen_norm", "sum-frozen_norm"} <= set(lines):
        said += f" With BatchNorm frozen for both: {_both(contrasts, 'gcond-frozen_norm', 'sum-frozen_norm')}."
    if "gcond-stochastic" in lines:
        told = _both(contrasts, "gcond-stochastic", "gcond")
        said += f" Stochastic against exact accumulation: {told}{_times(lines)}."
    return said


def _times(lines: Mapping[str, _Line]) -> str:
    found = [lines[m].step_ms for m in (_SUM, "gcond", "gcond-stochastic")]
    if not all(found):
        return ""
    base, exact, stochastic = (float(np.median(ms)) for ms in found)
    return (
        f"; a step takes {stochastic / exact:.2f} times that of exact accumulation and {stochastic / base:.2f} times"
        " that of the weighted sum"
    )


def _both(contrasts: Contrasts, method: str, other: str) -> str:
    found = [(name, _minus(contrasts, method, other, metric)) for metric, (name, _) in _METRICS.items()]
    said = "; ".join(f"{name} {_difference(c)}, {c.verdict}" for name, c in found)
    return f"{said} (n = {found[0][1].difference.n})"


def _verdicts(contrasts: Contrasts, method: str, other: str) -> list[str]:
    return [_minus(contrasts, method, other, metric).verdict for metric in _METRICS]


def _against_sum(contrasts: Contrasts, problem: str, method: str) -> Contrast:
    found = contrasts.get("sum", problem, method, _SUM)
    assert found is not None
    return found


def _other_table(elsewhere: Mapping[str, Mapping[str, _Line]], contrasts: Contrasts) -> pd.DataFrame:
    rows = []
    for problem, lines in elsewhere.items():
        for method in [m for m in _complete(lines) if family(m) in ("pcgrad", "cagrad", "sam_gs", "gcond")]:
            line, found = lines[method], _against_sum(contrasts, problem, method)
            rows.append({
                "problem": title(problem),
                "method": source(line.runs[0].experiment, _name(method) if "raw" not in method else label(method)),
                "track": line.runs[0].track, "scale": line.runs[0].scale, "n": found.difference.n,
                "accuracy minus the sum's (points, mean of tasks)": _difference(found),
                "verdict": found.verdict,
                "diagnosed steps with a conflict (%)": "-" if line.conflicts is None else f"{100 * line.conflicts:.0f}",
                "step (ms)": f"{np.median(line.step_ms):.1f}" if line.step_ms else "-",
            })  # fmt: skip
    return pd.DataFrame(rows)


def _ran_elsewhere(elsewhere: Mapping[str, Mapping[str, _Line]]) -> str:
    runs = [line.runs for lines in elsewhere.values() for method, line in lines.items() if family(method) == "gcond"]
    seeds = sorted({len(group) for group in runs})
    scales, tracks = (", ".join(sorted(set(n))) for n in zip(*((g[0].scale, g[0].track) for g in runs), strict=True))
    return (
        f"Besides, GCond on single mini-batches, not smoothed, on {'; '.join(map(title, elsewhere))} (scale {scales},"
        f" track {tracks}, {' or '.join(map(str, seeds))} seeds), which is outside the regime its authors recommend."
    )


def _found_elsewhere(elsewhere: Mapping[str, Mapping[str, _Line]], contrasts: Contrasts) -> str:
    found = [_against_sum(contrasts, p, m) for p, lines in elsewhere.items() for m in lines if family(m) == "gcond"]

    def told(c: Contrast) -> str:
        resolved = elsewhere[c.problem][c.method].resolved
        share = "" if resolved is None else f", resolving on {100 * resolved:.0f} % of diagnosed steps"
        return f"{title(c.problem)}, {label(c.method)}{share}"

    return f"Single mini-batches, not smoothed, against the sum, in points: {by_word(found, told)}."
