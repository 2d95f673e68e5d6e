"""The report's files as they are made: figures, tables and plots by the name they get under `reports/`."""

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.report.section import Drawing, Sheet
from gradsurgery.report.style import svg
from gradsurgery.report.tables import markdown


@dataclasses.dataclass(frozen=True)
class Output:
    """Collects bytes by name; every method returns what the page shows of the file.

    Attributes:
        pool: the processes that draw while the rest of the report is made; None draws here and now.
        files: by name, whole after `finish`.
    """

    pool: Executor | None = None
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    _drawn: dict[str, Future[bytes]] = dataclasses.field(default_factory=dict)

    def figure(self, name: str, figure: Figure, caption: str) -> dict[str, Any]:
        """An SVG under `figures/`. Raises ValueError for a name that is taken."""
        place = f"figures/{name}.svg"
        self._keep(place, b"")
        self._drawn[place] = self._draw(figure)
        return {"name": name, "svg": self._drawn[place], "caption": caption}

    def finish(self) -> dict[str, bytes]:
        """All files, once every figure is drawn."""
        return self.files | {place: drawn.result() for place, drawn in self._drawn.items()}

    def drawing(self, drawing: Drawing) -> dict[str, Any]:
        return self.figure(drawing.name, drawing.figure, drawing.caption)

    def table(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """A table as CSV and as Markdown under `tables/`. Raises ValueError for a name that is taken."""
        self._keep(f"tables/{name}.csv", _csv(frame))
        self._keep(f"tables/{name}.md", markdown(frame).encode())
        return frame

    def sheet(self, sheet: Sheet) -> dict[str, Any]:
        return {"title": sheet.title, "table": self.table(sheet.name, sheet.frame)}

    def plot(self, name: str, points: Sequence[Mapping[str, Any]]) -> None:
        """The points behind a figure under `plots/`, for `dvc plots`: one a row, so that no cell is missing."""
        self._keep(f"plots/{name}.csv", _csv(pd.DataFrame(points)))

    def _draw(self, figure: Figure) -> Future[bytes]:
        if self.pool is not None:
            return self.pool.submit(svg, figure)
        done = Future[bytes]()
        done.set_result(svg(figure))
        return done

    def _keep(self, name: str, content: bytes) -> bytes:
        if name in self.files:
            raise ValueError(f"`{name}` must be made by one part of the report, found it made twice.")
        self.files[name] = content
        return content


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()
