"""From histories to numbers: scores, contrasts with their intervals, verdicts' evidence. Nothing here draws."""

from gradsurgery.core.extras import need

need("report", "scipy", "moocore")
