"""A dvc.lock that ends before its time is told from a whole one, wherever it was cut."""

from pathlib import Path

import pytest

from pipelines._workspace import cut_locks

LOCK = """\
schema: '2.0'
stages:
  fetch@digits:
    cmd: python -m pipelines.fetch digits
    outs:
    - path: data/raw/digits
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 60
  train@a:
    cmd: python -m pipelines.train a
    deps:
    - path: pipelines/train.py
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 10
    outs:
    - path: reports/history/a.jsonl
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 20
"""
BOUNDARY = LOCK.index("  train@a")


def test_no_lock_and_a_whole_lock_are_left_alone(tmp_path: Path) -> None:
    assert cut_locks(tmp_path) == []
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert cut_locks(tmp_path) == []


@pytest.mark.parametrize("length", [n for n in range(len(LOCK)) if n != BOUNDARY])
def test_every_cut_but_one_between_two_stages_is_seen(tmp_path: Path, length: int) -> None:
    for lock in (tmp_path / "dvc.lock", tmp_path / "pipelines" / "a" / "dvc.lock"):
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text(LOCK[:length])
        assert cut_locks(tmp_path)[-1] == lock
