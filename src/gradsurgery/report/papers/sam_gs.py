"""SAM-GS (Borsani et al., 2025): surgery that depends on how similar the gradients' magnitudes are."""

from gradsurgery.evidence.history import Run
from gradsurgery.report.descents import aggregated_by, section_of
from gradsurgery.report.section import Evidence, Section

CLAIM = (
    "What matters is not the angle between task gradients but how alike their lengths are. Giving unlike ones equal "
    "length, and weighting alike ones by each task's momentum, reaches the optimum where other methods stop."
)


def section(evidence: Evidence) -> Section | None:
    """SAM-GS's two landscapes with their controls, and SAM-GS against the sum wherever both were run."""
    return section_of("sam_gs", CLAIM, ("sam_gs_toy1", "sam_gs_toy2"), _own, evidence)


def _own(run: Run) -> bool:
    return aggregated_by(run) == "sam_gs"
