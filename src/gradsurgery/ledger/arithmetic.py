"""A published table, and what can be recomputed from it alone: it says where its own numbers contradict each other."""

import dataclasses
from collections.abc import Mapping, Sequence

from gradsurgery.core.metrics import delta_m_metric, delta_m_task

_COPIED = 3  # so many equal cells in a row at the end of two rows are a copy and no coincidence
_RANKED = 5  # fewer numbers may add up to n (n + 1) / 2 by chance


@dataclasses.dataclass(frozen=True)
class Table:
    """A printed table: its rows as metrics, the Delta-m printed beside them, and the doubts about each row.

    Attributes:
        metrics: the columns that Delta-m is made of, and whether higher is better.
        also: further columns, by row.
        over: whether its Delta-m averages over `metrics` or over `tasks` first.
        higher_is_better: the sign of its Delta-m.
    """

    id: str
    metrics: Mapping[str, bool]
    rows: Mapping[str, Mapping[str, float]]
    also: Mapping[str, Mapping[str, float]]
    base: str | None
    over: str
    higher_is_better: bool
    printed: Mapping[str, float]
    tolerance: float
    doubtful: Mapping[str, str]

    def recomputed(self) -> dict[str, float]:
        """Delta-m of every row that prints one, from the row's own metrics and the table's own base."""
        if self.base is None:
            return {}
        sign, delta_m = -1.0 if self.higher_is_better else 1.0, delta_m_task if self.over == "tasks" else delta_m_metric
        base, whole = self.rows[self.base], [row for row in self.printed if set(self.rows[row]) == set(self.metrics)]
        return {row: sign * delta_m(self.rows[row], base, self.metrics) for row in whole}

    def disagreements(self) -> dict[str, float]:
        """Rows whose recomputed Delta-m lies further from the printed one than rounding explains."""
        return {row: v for row, v in self.recomputed().items() if abs(v - self.printed[row]) > self.tolerance}

    def copies(self) -> dict[str, str]:
        """Rows that end in the same numbers as an earlier row of the table, as `row: earlier row`."""
        cells = {
            row: [*values.values(), *([self.printed[row]] if row in self.printed else [])]
            for row, values in self.rows.items()
        }
        found, names = {}, list(cells)
        for place, row in enumerate(names):
            for earlier in names[:place]:
                if len(cells[row]) > _COPIED and cells[row][-_COPIED:] == cells[earlier][-_COPIED:]:
                    found[row] = earlier
        return found

    def disguised_ranks(self) -> list[str]:
        """First rows of a column headed Delta-m that add up exactly as mean ranks among themselves must."""
        column = {row: cells["all.delta_m"] for row, cells in self.rows.items() if "all.delta_m" in cells}
        found: list[str] = []
        for n in range(_RANKED, len(column) + 1):
            values = list(column.values())[:n]
            if abs(sum(values) - n * (n + 1) / 2) < 0.005 * n**0.5 and min(values) >= 1 and max(values) <= n:
                found = list(column)[:n]
        return found

    def rank_sum(self) -> tuple[float, float] | None:
        """Sum of the printed mean ranks, and what mean ranks of so many rows must sum to; None without the column."""
        ranks = [cells["all.mean_rank"] for cells in self.also.values() if "all.mean_rank" in cells]
        return (sum(ranks), len(ranks) * (len(ranks) + 1) / 2) if ranks else None

    def flaws(self) -> dict[str, str]:
        """By row, what recomputing the table speaks against: its Delta-m, and numbers copied from another row."""
        wrong = self.disagreements()
        found = {row: f"prints Delta-m {self.printed[row]:g}, its own metrics give {v:.2f}" for row, v in wrong.items()}
        for row, earlier in self.copies().items():
            text = f"ends in the same numbers as row {earlier}"
            found[row] = f"{found[row]}; {text}" if row in found else text
        return found

    def column_flaws(self) -> dict[str, tuple[Sequence[str], str]]:
        """By column, the rows and what is wrong with it: ranks under the heading Delta-m, ranks that miss their sum."""
        found: dict[str, tuple[Sequence[str], str]] = {}
        if rows := self.disguised_ranks():
            n = len(rows)
            text = f"the first {n} numbers of this Delta-m column sum to {n} x {n + 1} / 2, as mean ranks must"
            found["all.delta_m"] = (rows, text)
        ranked = [row for row, cells in self.also.items() if "all.mean_rank" in cells]
        sums = self.rank_sum()
        if sums is not None and abs(sums[0] - sums[1]) > 0.05 * len(ranked) + 1e-9:  # printed to one decimal
            text = (
                f"the mean ranks of this column sum to {sums[0]:g}, those of {len(ranked)} rows must sum to {sums[1]:g}"
            )
            found["all.mean_rank"] = (ranked, text)
        return found
