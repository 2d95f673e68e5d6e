"""CAGrad (Liu et al., 2021): the direction near the mean gradient that is best for the worst task."""

from gradsurgery.evidence.history import Run
from gradsurgery.report.descents import aggregated_by, section_of
from gradsurgery.report.section import Evidence, Section

CLAIM = (
    "A direction within a ball around the mean gradient that improves the worst-off task most reaches an optimum of "
    "the mean loss where plain descent, MGDA and PCGrad may stop early, and leaves no task behind."
)


def section(evidence: Evidence) -> Section | None:
    """CAGrad's own landscape, and CAGrad against the sum wherever both were run."""
    return section_of("cagrad", CLAIM, ("cagrad_toy",), _own, evidence)


def _own(run: Run) -> bool:
    return aggregated_by(run) == "cagrad"
