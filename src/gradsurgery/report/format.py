"""How numbers that are no interval become text; intervals are the measure's (`evidence.measures.Measure.say`)."""

from collections.abc import Callable, Iterable, Sequence

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.measures import Measure, measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.words import ALONE, BETTER, EFFECTS, WORSE
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


def by_word(found: Iterable[Contrast], told: Callable[[Contrast], str] = lambda c: label(c.method)) -> str:
    """`better: A (+0.31 [+0.10, +0.52]); inconclusive: B, C`: contrasts under their words, with what separates."""
    said: dict[str, list[str]] = {}
    for c in found:
        detail = f" ({shown(c).say(c.difference, signed=True)})" if c.verdict in (BETTER, WORSE) else ""
        said.setdefault(c.verdict, []).append(f"{told(c)}{detail}")
    return "; ".join(f"{word}: {', '.join(said[word])}" for word in (*EFFECTS, ALONE) if word in said)


def bracketed(method: str) -> str:
    """A label that holds a comma stands in brackets where it is one of a list."""
    return f"({label(method)})" if "," in label(method) else label(method)


def listed(methods: Sequence[str]) -> str:
    return ", ".join(map(label, methods))


def first_sentence(text: str) -> str:
    return f"{text.split('. ')[0].rstrip('.')}."
