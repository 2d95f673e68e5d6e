"""Files that are written whole or not at all, and files that are read as they were meant."""

import errno
import os
import re
from pathlib import Path

import pytest

from pipelines._files import UnwritableError, read_json, read_yaml, staged, write


def _tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("call", ["replace", "write"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_leaves_what_was_there_and_nothing_else(call, number, tmp_path, monkeypatch):
    write({tmp_path / "a": b"old", tmp_path / "b": b"old"})
    before = _tree(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    if call == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        kept = Path.write_bytes
        monkeypatch.setattr(Path, "write_bytes", lambda p, c: full() if p.name == ".b.part" else kept(p, c))
    with pytest.raises(UnwritableError, match=rf"/b cannot be written \({os.strerror(number)}\): make room") as raised:
        write({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert "\n" not in str(raised.value)
    assert _tree(tmp_path) == before


def test_an_interrupt_leaves_nothing_beside_the_file(tmp_path):
    def interrupted() -> None:
        with staged(tmp_path / "a") as beside:
            beside.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert _tree(tmp_path) == {}


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnwritableError, match=r"file/under/it cannot be written"):
        write({tmp_path / "file/under/it": b"x"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "must exist, found nothing: do this."),
        (b"", ":1: must be JSON"),
        (b"{\n", ":2: must be JSON"),
        (b"\xff\xfe", "must be text in UTF-8"),
        (b'{"a": NaN}', "numbers must be finite, found NaN: do this."),
        (b'{"a": -Infinity}', "numbers must be finite, found -Infinity: do this."),
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "`c` must stand once in its block, found it twice: do this."),
        (b"[" * 100_000, "must be nested no deeper"),
    ],
)
def test_json_that_was_not_meant_is_one_line_with_its_remedy(content, said, tmp_path):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        read_json(path, "do this")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n", "x:\n  - {a: 1, a: 1}\n", "a: [", "a: *b\n", "a: 2001-99-99\n", "\x00", "[[1]]: 2\n",
        "a: !!python/object/apply:os.getcwd []\n",
    ],
)  # fmt: skip
def test_yaml_that_was_not_meant_is_one_line_with_its_remedy(text, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.yaml.*: do this\.$") as raised:
        read_yaml(path, "do this")
    assert "\n" not in str(raised.value)


def test_merged_blocks_may_share_keys(tmp_path):
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, x: 4}\nd: {x: 5}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml", "")["c"] == {"x": 4, "y": 2}
