"""Where the tracking store is, as an address: a folder's name may hold what has a meaning in addresses."""

import os
from pathlib import Path
from urllib.parse import quote, unquote


def uri(root: Path) -> str:
    """The address of the tracking store: MLFLOW_TRACKING_URI, or mlflow.db in `root`.

    SQLAlchemy takes what follows `?` for options, and MLflow decodes `%`: where the folder's name holds one of them, it
    stands in SQLite's own form of an address, encoded once for each of the two that decode it.
    """
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return named
    path = str(root.resolve() / "mlflow.db")
    return f"sqlite:///file:{quote(quote(path))}?uri=true" if {"?", "%"} & set(path) else f"sqlite:///{path}"


def file_of(address: str) -> Path:
    """The file behind an address of SQLite."""
    path = address.removeprefix("sqlite:///")
    return Path(unquote(unquote(path[len("file:") :].partition("?")[0])) if path.startswith("file:") else path)
