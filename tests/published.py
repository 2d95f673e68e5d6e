"""The committed ledger as tests read it, and one record to change."""

import functools
from pathlib import Path
from typing import Any

import yaml

from gradsurgery.ledger.arithmetic import Table
from gradsurgery.ledger.reading import read
from gradsurgery.ledger.records import Answer, Paper, Record

FOLDER = Path(__file__).parents[1] / "data/published"


PAPERS = ("pcgrad", "cagrad", "sam_gs", "gcond", "recon", "dr_mgf", "drgrad")


def document(key: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))


@functools.cache
def paper(key: str) -> Paper:
    return read(document(key))


def table(name: str) -> Table:
    return next(t for t in paper(name.split("/")[0]).tables if t.id == name)


CLAIM = Record(
    id="p/claim", paper="p", version="v1", cell="Table 1", statement="A claim", task="all", metric="starts",
    direction=None, kind="count", value=2.0, spread=None, spread_kind=None, margin=None, seeds=None, selection="last",
    data="landscape", network="point", origin="paper", twin=None, doubtful=None,
    answered_by=Answer("cagrad_toy-mean", "stuck"), unanswered=None, headline=False, short=None,
)  # fmt: skip
