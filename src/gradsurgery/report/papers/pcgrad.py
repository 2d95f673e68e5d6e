"""PCGrad (Yu et al., 2020): projection onto the normal plane of a conflicting gradient."""

from gradsurgery.evidence.history import Run
from gradsurgery.report.descents import section_of
from gradsurgery.report.section import Evidence, Section
from gradsurgery.report.superclass import superclasses

CLAIM = (
    "Task gradients that point against each other, differ in length and meet high curvature hold training up. "
    "Projecting each onto the normal plane of those it conflicts with ends at lower losses than descent on the sum."
)


def section(evidence: Evidence) -> Section | None:
    """PCGrad's own landscape, its 20 tasks, and PCGrad against the sum wherever both were run."""
    own, many = section_of("pcgrad", CLAIM, ("pcgrad_toy",), _own, evidence), superclasses(evidence)
    if own is None or many is None:
        return own or many
    return Section(
        claim=f"{own.claim} {many.claim}", ran=f"{own.ran} {many.ran}", found=f"{own.found} {many.found}",
        drawings=[*own.drawings, *many.drawings], sheets=[*own.sheets, *many.sheets],
    )  # fmt: skip


def _own(run: Run) -> bool:
    return (run.family, run.role.kind) == ("pcgrad", "study")
