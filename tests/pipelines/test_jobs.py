"""`--jobs` and the ranks of torchrun: a number that can be meant, or one sentence."""

import pytest

from pipelines._jobs import MOST, jobs, refuse_ranks, whole


def test_a_number_of_processes_is_taken_as_written():
    assert jobs("3") == 3
    assert jobs(str(MOST), 1) == MOST
    assert jobs(None, 2) == 2
    assert jobs(None) >= 1


@pytest.mark.parametrize("text", ["-1", "0", "abc", "", "1.5", "1e3", " 2", "+2", "²", str(MOST + 1), "9" * 5000])
def test_anything_else_is_one_sentence(text):
    with pytest.raises(ValueError, match=rf"^`--jobs` must be a whole number from 1 to {MOST}, found "):
        jobs(text)
    with pytest.raises(ValueError, match=r"^`GRADSURGERY_JOBS` must be"):
        whole("GRADSURGERY_JOBS", text)


@pytest.mark.parametrize("size", [None, "", "1"])
def test_a_single_rank_may_start(size, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    refuse_ranks()


@pytest.mark.parametrize("size", ["2", "8", "0", "many"])
def test_several_ranks_are_refused(size, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ValueError, match=f"^`WORLD_SIZE` must be 1 or unset, found '{size}'"):
        refuse_ranks()
