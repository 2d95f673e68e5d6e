"""One look for every figure: one colour and one name per method, wherever it appears; files that repeat to the byte."""

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import seaborn
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from gradsurgery.report.compact import slim

NAMES = {
    "sum": "sum", "mean": "mean", "pcgrad": "PCGrad", "cagrad": "CAGrad", "sam_gs": "SAM-GS", "mgda": "MGDA",
    "uncertainty": "uncertainty", "dwa": "DWA", "random_weights": "random weights", "log_loss": "log loss",
    "static": "static", "single_task": "single task", "torchjd": "TorchJD", "gcond": "GCond", "recon": "Recon",
    "dr_mgf": "DR-MGF", "drgrad": "DRGrad", "drgrad_code": "DRGrad (its code)", "shared_bottom": "shared bottom",
    "omoe": "OMoE", "ple": "PLE", "split": "Split-MMoE", "floor": "floor", "independent": "independent networks",
    "placebo_random": "placebo: random vector", "placebo_positive": "placebo: only when they agree",
    "placebo_permuted": "placebo: permuted tasks",
}  # fmt: skip

# Sections that are no paper's, by module.
SECTIONS = {
    "compute": "Equal compute: does the extra cost pay?", "controls": "Controls: is it the mechanism?",
    "dose": "Dose and response: does surgery pay where tasks conflict?", "ranks": "Across problems: who ranks where?",
    "study": "Equal budgets: tuned as often",
}  # fmt: skip

# Methods whose name says more than its parts.
_WHOLE = {"floor-logistic": "logistic regression", "floor-trees": "boosted trees"}

# Okabe and Ito's palette, which survives the common colour deficiencies, with black and greys for the plain baselines.
_COLOURS = {
    "sum": "#000000", "mean": "#6e6e6e", "pcgrad": "#0072B2", "cagrad": "#D55E00", "sam_gs": "#009E73",
    "mgda": "#CC79A7", "uncertainty": "#E69F00", "dwa": "#56B4E9", "random_weights": "#A6761D", "log_loss": "#8C564B",
    "static": "#9E9E9E", "single_task": "#444444", "torchjd": "#6A3D9A", "gcond": "#882255", "recon": "#332288",
    "dr_mgf": "#B59F00", "drgrad": "#00A6A6", "drgrad_code": "#006D77", "shared_bottom": "#A6761D", "omoe": "#8C564B",
    "ple": "#E69F00", "split": "#CC79A7", "floor": "#9E9E9E", "independent": "#444444", "placebo_random": "#A9A9A9",
    "placebo_positive": "#C2A878", "placebo_permuted": "#8FA3B0",
}  # fmt: skip

_LINES = ("-", "--", ":", "-.")


def stem(method: str) -> str:
    """`cagrad-c0_5` -> `cagrad`: what colour and label go by, and nothing else."""
    return method.split("-")[0]


def colour(method: str) -> str:
    """The method's colour; a method that the table does not know gets a steady one of its own."""
    name = stem(method)
    if name in _COLOURS:
        return _COLOURS[name]
    return matplotlib.colors.to_hex(seaborn.husl_palette(24)[zlib.crc32(name.encode()) % 24])


def label(method: str) -> str:
    """`cagrad-c0_5` -> `CAGrad, c = 0.5`; `sam_gs-no_clip` -> `SAM-GS, no clip`."""
    if method in _WHOLE:
        return _WHOLE[method]
    name, *variants = method.split("-")
    words = [NAMES.get(name, name.replace("_", " "))]
    for variant in variants:
        number = re.fullmatch(r"([a-z]*)(\d+(?:_\d+)?)", variant)
        if number and number[1]:
            words.append(f"{number[1]} = {number[2].replace('_', '.')}")
        elif number:
            words.append(f"{number[2]} %")  # static weights are named by the left task's share
        else:
            words.append(NAMES.get(variant, variant.replace("_", " ")))
    return ", ".join(words)


def line(method: str, methods: list[str]) -> str:
    """A dash pattern that tells apart what has one colour."""
    variants = sorted(m for m in methods if stem(m) == stem(method))
    return _LINES[variants.index(method) % len(_LINES)]


@contextmanager
def look() -> Iterator[None]:
    """The settings under which every figure is drawn and saved."""
    settings = {
        **seaborn.axes_style("whitegrid"), **seaborn.plotting_context("paper"),
        "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
        "svg.fonttype": "none",  # letters stay letters: smaller, searchable, and independent of the font's outlines
        "svg.hashsalt": "gradsurgery", "axes.titlesize": 10, "axes.labelsize": 9, "legend.fontsize": 8,
        "xtick.labelsize": 8, "ytick.labelsize": 8, "grid.color": "#e6e6e6", "axes.edgecolor": "#888888",
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        yield


def canvas(width: float, height: float) -> Figure:
    """A figure of that size in inches, laid out so that nothing overlaps. No global state, hence no pyplot."""
    return Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes for the same numbers: no date, no version, a fixed salt for its ids.

    `savefig` would draw everything twice, the first time for the layout alone; here the layout is made without drawing.
    """
    buffer, paper = io.BytesIO(), FigureCanvasSVG(figure)
    with look():
        figure.set_dpi(paper.fixed_dpi)
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        paper.print_svg(buffer, metadata={"Date": None, "Creator": None})
    return slim(buffer.getvalue().decode()).encode()


def png(figure: Figure) -> bytes:
    """The figure as PNG, without the version of the library that drew it."""
    buffer = io.BytesIO()
    with look():
        figure.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
    return buffer.getvalue()
