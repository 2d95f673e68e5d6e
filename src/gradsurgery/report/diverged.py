"""Lines of which a seed diverged, as the report shows them: apart from all others."""

from collections.abc import Mapping, Sequence

import pandas as pd

from gradsurgery.evidence.diverged import told
from gradsurgery.evidence.groups import Groups
from gradsurgery.evidence.history import Run
from gradsurgery.report.style import label
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title


def table(gone: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Every line that diverged, with the seeds and epochs at which it did."""
    return pd.DataFrame([
        {
            "problem": title(group[0].problem), "method": source(name, label(group[0].method)),
            "diverged (seed: epoch)": "; ".join(f"{r.seed}: {r.diverged}" for r in group if r.diverged is not None),
            "n": len(group),
        }
        for name, group in gone.items()
    ])  # fmt: skip


def sentence(gone: Groups, problem: str) -> str:
    """Which lines of a problem diverged; nothing where none did."""
    own = [f"{label(group[0].method)} {told(group)}" for group in gone.values() if group[0].problem == problem]
    return f"Left out of every comparison: {'; '.join(own)}." if own else ""
