"""How numbers that are no interval become text; intervals are the measure's (`evidence.measures.Measure.say`)."""

from collections.abc import Sequence

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.measures import Measure, measure
from gradsurgery.evidence.statistics import Comparison, Summary
from gradsurgery.report.style import label


def shown(found: Contrast) -> Measure:
    """How a contrast is printed."""
    return measure(found.metric)


def gain(found: Contrast) -> str:
    """The difference turned so that more is better, with its interval."""
    return shown(found).say(found.gain, signed=True)


def level(found: Summary) -> Summary:
    """A level that was turned so that more is better, turned back where less is better."""
    return found.turned() if found.mean < 0 else found


def p_holm(found: Comparison | None) -> str:
    """After Holm's correction."""
    return "-" if found is None or found.p_holm is None else f"{found.p_holm:.3f}"


def seeds(found: Comparison) -> str:
    """On how many seeds the method is better."""
    return f"{found.improved:g} of {found.difference.n}"


def bracketed(method: str) -> str:
    """A label that holds a comma stands in brackets where it is one of a list."""
    return f"({label(method)})" if "," in label(method) else label(method)


def listed(methods: Sequence[str]) -> str:
    return ", ".join(map(label, methods))


def first_sentence(text: str) -> str:
    return f"{text.split('. ')[0].rstrip('.')}."
