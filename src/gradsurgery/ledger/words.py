"""The verdict words of protocol.md 1.2, for a claim that one line is better than another, or that it is not."""

from gradsurgery.evidence.contrasts import ALONE, BETTER, SAME, WORSE

WORDS = ("reproduced", "direction only", "no difference detected", "not reproduced", "diverged", "not run")
_CLAIMED = {
    BETTER: "direction only", WORSE: "not reproduced", SAME: "no difference detected",
    ALONE: "not run (one repeat has no interval)",
}  # fmt: skip


def direction(verdict: str, better: bool = True) -> str:
    """What a contrast's verdict makes of the claim that it is better, or (not `better`) that it is worse: at most a
    direction, below the paper's own scale."""
    return _CLAIMED[verdict if better or verdict in (SAME, ALONE) else {BETTER: WORSE, WORSE: BETTER}[verdict]]
