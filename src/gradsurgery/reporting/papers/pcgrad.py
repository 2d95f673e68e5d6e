"""PCGrad (Yu et al., 2020): projection onto the normal plane of a conflicting gradient."""

from gradsurgery.reporting.descents import section_of
from gradsurgery.reporting.history import Run
from gradsurgery.reporting.section import Evidence, Section

CLAIM = (
    "Task gradients that point against each other, differ in length and meet high curvature hold training up. "
    "Projecting each onto the normal plane of those it conflicts with ends at lower losses than descent on the sum."
)


def section(evidence: Evidence) -> Section | None:
    """PCGrad's own landscape, and PCGrad against the sum wherever both were run."""
    return section_of("pcgrad", CLAIM, ("pcgrad_toy",), _own, evidence)


def _own(run: Run) -> bool:
    return run.method == "pcgrad"
