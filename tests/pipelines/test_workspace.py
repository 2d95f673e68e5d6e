"""A run's own folder: what it starts from, what it keeps, and which lock was cut off, wherever it was cut."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines._workspace import checkout, is_cut, prepared, workspace

LOCK = """\
schema: '2.0'
stages:
  fetch:
    cmd: python -m pipelines.fetch
    outs:
    - path: data/raw
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
    - path: reports/history/laptop/a
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 20
"""
BOUNDARY = LOCK.index("  train@a")


def test_no_lock_and_a_whole_lock_are_left_alone(tmp_path: Path) -> None:
    assert not is_cut(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert not is_cut(tmp_path / "dvc.lock")


@pytest.mark.parametrize("length", [n for n in range(len(LOCK)) if n != BOUNDARY])
def test_every_cut_but_one_between_two_stages_is_seen(tmp_path: Path, length: int) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK[:length])
    assert is_cut(tmp_path / "dvc.lock")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with a scale, two committed histories, a study, a page, locks and a README."""
    root = tmp_path / "checkout"
    for name, text in {
        "params.yaml": "# one\nscale: laptop\n", ".gitignore": "/workspaces/\n/data/raw/\n/runs/\n", "src/a.py": "1\n",
        "README.md": "ours\n", "dvc.lock": LOCK, "reports/index.html": "page\n",
        "reports/history/laptop/f/p-a.jsonl": "old\n", "reports/history/laptop/f/p-b.jsonl": "old\n",
        "reports/costs/laptop/f/p-a.json": "old\n",
        "reports/study/p.jsonl": "old\n", "reports/study/costs/p.json": "old\n",
    }.items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def test_the_committed_scale_starts_from_the_checkout_and_follows_it(tree: Path) -> None:
    here = workspace(tree, "laptop")
    committed = {p.relative_to(tree) for p in tree.rglob("*") if p.is_file()} - {Path("params.yaml")}
    for name in committed:
        if name.parts[0] not in (".git", "workspaces"):
            assert (here / name).read_bytes() == (tree / name).read_bytes(), name
    (here / "runs/p-a").mkdir(parents=True)
    (here / "runs/p-a/seed-0.json").write_text("{}")
    (here / "reports/history/laptop/f/p-a.jsonl").write_text("trained here\n")
    (here / "reports/index.html").write_text("page of here\n")
    (here / "dvc.lock").write_text(LOCK.replace("size: 60", "size: 61"))
    for name in (
        "history/laptop/f/p-a.jsonl",
        "history/laptop/f/p-b.jsonl",
        "costs/laptop/f/p-a.json",
        "study/p.jsonl",
        "study/costs/p.json",
    ):
        (tree / "reports" / name).write_text("moved on\n")
    workspace(tree, "laptop")
    assert (here / "reports/history/laptop/f/p-a.jsonl").read_text() == "trained here\n"
    assert (here / "reports/costs/laptop/f/p-a.json").read_text() == "old\n"
    assert (here / "reports/index.html").read_text() == "page of here\n"
    assert "size: 61" in (here / "dvc.lock").read_text()
    for name in ("history/laptop/f/p-b.jsonl", "study/p.jsonl", "study/costs/p.json"):
        assert (here / "reports" / name).read_text() == "moved on\n"
    (here / "runs/study/p").mkdir(parents=True)
    (tree / "reports/study/p.jsonl").write_text("once more\n")
    workspace(tree, "laptop")
    assert (here / "reports/study/p.jsonl").read_text() == "moved on\n"


def test_a_committed_run_counts_as_run_here_only_where_it_is_trusted(tree: Path) -> None:
    path = Path("reports/costs/laptop/f/p-a.json")
    costs = {"seeds": {"0": {"seconds": 1.0, "fingerprint": "f"}}, "fingerprints": {"f": {"data": "d"}}}
    (tree / path).write_text(json.dumps(costs))
    here = workspace(tree, "laptop")
    assert json.loads((here / path).read_text()) == {"seeds": {"0": {"seconds": 1.0}}, "fingerprints": {}}
    assert json.loads((workspace(tree, "laptop", trust=True) / path).read_text()) == costs
    (here / "runs/p-a").mkdir(parents=True)
    (here / "runs/p-a/seed-0.json").write_text("{}")
    assert json.loads((workspace(tree, "laptop") / path).read_text()) == costs, "trained here since"


def test_another_scale_takes_the_data_and_no_results(tree: Path) -> None:
    (tree / "data/raw/digits").mkdir(parents=True)
    (tree / "data/raw/digits/images.npy").write_bytes(b"0123")
    here = workspace(tree, "smoke")
    assert (here / "params.yaml").read_text() == "# one\nscale: smoke\n"
    assert (here / "dvc.lock").read_text() == LOCK
    taken = [path.relative_to(here) for path in (here / "reports").rglob("*") if path.is_file()]
    assert taken == [Path("reports/costs/laptop/f/p-a.json")], "what runs cost says in what order to train"
    shared = here / "data/raw/digits/images.npy"
    assert shared.samefile(tree / "data/raw/digits/images.npy")
    shutil.rmtree(tree / "data")
    assert workspace(tree, "paper").joinpath("data/raw/digits/images.npy").read_bytes() == b"0123"


def test_a_cut_lock_is_neither_kept_nor_taken_over(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = workspace(tree, "laptop")
    (here / "dvc.lock").write_text(LOCK[:80])
    workspace(tree, "laptop")
    assert capsys.readouterr().err == "warning: workspaces/laptop/dvc.lock was cut off by a kill; removed.\n"
    assert (here / "dvc.lock").read_text() == LOCK
    (here / "dvc.lock").unlink()
    (tree / "dvc.lock").write_text(LOCK[:80])
    assert not (workspace(tree, "laptop") / "dvc.lock").exists()


def test_prepared_arrays_are_found_wherever_they_were_made(tree: Path) -> None:
    assert prepared(tree, "p") == tree / "data/processed/p"
    (tree / "workspaces/laptop/data/processed/p").mkdir(parents=True)
    assert prepared(tree, "p") == tree / "workspaces/laptop/data/processed/p"
    (tree / "data/processed/p").mkdir(parents=True)
    assert prepared(tree, "p") == tree / "data/processed/p"
    assert checkout(tree) == checkout(tree / "workspaces/laptop") == tree


def test_what_is_no_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ValueError, match="must be a Git checkout"):
        workspace(tmp_path, "smoke")
