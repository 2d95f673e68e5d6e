"""What was fixed before the runs that decide: which claims are confirmatory, by how many fresh seeds, judged how."""

import dataclasses
from collections.abc import Mapping

from gradsurgery.evidence.groups import Groups

FIXED = "fixed n"  # the one stopping rule: all seeds are run, and looked at once
COMPARED = ("difference", "no_difference")  # kinds of claims that seeds can confirm


@dataclasses.dataclass(frozen=True)
class Design:
    """How one claim is decided.

    Attributes:
        claim: `<paper>/<claim>`, the id of its record.
        scale: the one whose runs decide.
        n: seeds of every line that it compares, from the protocol's first on.
        rule: of stopping.
        lines: the experiments that the claim compares.
    """

    claim: str
    scale: str
    n: int
    rule: str = FIXED
    lines: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Protocol:
    """All of protocol.yaml.

    Attributes:
        alpha: family-wise level of one paper's confirmatory claims.
        power: the least that a design must have for the published effect.
        margins: of practical equality, in the metric's own unit, by the last word of a metric.
        first_seed: of the confirmatory ones, which no setting was ever chosen on.
        designs: by paper, in the order in which they are run; a paper's are one family.
        sha256: of all this, and of what the named claims compare.
    """

    alpha: float
    power: float
    margins: Mapping[str, float]
    first_seed: int
    designs: Mapping[str, tuple[Design, ...]]
    sha256: str

    @property
    def every(self) -> list[Design]:
        """The designs of all papers, in the order in which they are run."""
        return [design for family in self.designs.values() for design in family]

    def margin(self, metric: str) -> float | None:
        """Of `left.accuracy` that of accuracy; None where differences of such a metric have none."""
        return self.margins.get(metric.rsplit(".", 1)[-1])

    def design(self, claim: str) -> Design | None:
        """Of a record's id; None for an exploratory one."""
        return next((one for one in self.every if one.claim == claim), None)

    def seeds(self, design: Design) -> range:
        """Those that a design asks of every line that it compares."""
        return range(self.first_seed, self.first_seed + design.n)

    def there(self, design: Design, groups: Groups) -> int:
        """Seeds of a design that all lines it compares have, run under this very protocol: all, or it decides nothing
        yet. Runs under another protocol, before it or after, are exploratory."""
        own = [{run.seed for run in groups.get(line, ()) if run.protocol == self.sha256} for line in design.lines]
        return len(set(self.seeds(design)).intersection(*own))

    def asked(self, line: str, scale: str) -> range:
        """The confirmatory seeds of one experiment; none where no design at that scale compares it."""
        most = max((d.n for d in self.every if line in d.lines and d.scale == scale), default=0)
        return range(self.first_seed, self.first_seed + most)

    def turn(self, line: str, seed: int, scale: str) -> tuple[int, int, int] | None:
        """What confirmatory runs are sorted by; None for an exploratory one.

        One paper after the other, and in it all lines on one seed before the next: whenever the runs are stopped, what
        is compared is there together.
        """
        for place, family in enumerate(self.designs.values()):
            for inner, design in enumerate(family):
                if design.scale == scale and line in design.lines and seed in self.seeds(design):
                    return place, seed, inner
        return None
