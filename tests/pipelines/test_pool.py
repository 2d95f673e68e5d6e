"""Processes over the places of a machine: one for each task, in order, none left behind; GPUs are pretended."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import namedtuple

import psutil
import pytest

from pipelines._pool import EndedError, places_on, share_out

Task = namedtuple("Task", "name")
TASKS = [Task(name) for name in "abcd"]


def work(task, place, tell):
    tell("process", os.getpid())
    tell("place", place)
    if task.name == "refused":
        raise ValueError("no such thing")
    if task.name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.name == "endless":
        time.sleep(600)


def _heard(tasks, places):
    told = []
    share_out(tasks, places, work, lambda task, name, content: told.append((task.name, name, content)))
    return told


def test_every_task_has_a_process_of_its_own_and_places_are_used_again():
    told = _heard(TASKS, ["x", "y"])
    processes = {content for _, name, content in told if name == "process"}
    assert len(processes | {os.getpid()}) == 5
    assert {content for _, name, content in told if name == "place"} == {"x", "y"}
    assert sorted(task for task, name, _ in told if name == "done") == list("abcd")
    begun = [task for task, name, _ in told if name == "process"]
    assert begun.index("d") >= 2, "it has a place when two others are done; b may be slower to begin than c"
    events = [(task, name) for task, name, _ in told]
    for task, least in (("c", 1), ("d", 2)):
        before = events[: events.index((task, "process"))]
        assert sum(name == "done" for _, name in before) >= least, "a place is used again when its task is done"


def test_a_single_place_is_this_process():
    assert [told for told in _heard(TASKS[:2], ["x"]) if told[1] != "place"] == [
        ("a", "process", os.getpid()), ("a", "done", None), ("b", "process", os.getpid()), ("b", "done", None),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "error"), [("refused", ValueError), ("killed", EndedError)])
def test_one_that_does_not_come_through_ends_the_others(name, error):
    processes = []
    with pytest.raises(error, match=r"no such thing|killed ended with exit code -9"):
        share_out(
            [Task("endless"), Task(name)], ["x", "y"], work,
            lambda task, what, content: processes.append(content) if what == "process" else None,
        )  # fmt: skip
    assert processes
    assert not any(psutil.pid_exists(pid) for pid in processes)


def test_no_process_outlives_the_one_that_started_it():
    script = (
        "from tests.pipelines.test_pool import Task, share_out, work\n"
        "share_out([Task('endless')] * 2, ['x', 'y'], work, lambda task, name, content: print(content, flush=True))\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    processes = []
    while len(processes) < 2:
        if (line := driver.stdout.readline().strip()).isdigit():
            processes.append(int(line))
    driver.kill()
    driver.communicate()
    until = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in processes):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_core_is_a_place():
    assert places_on("cpu", "3", None) == ["cpu"] * 3
    assert len(places_on("cpu", None, None)) >= 1


def test_runs_take_turns_on_the_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert places_on("cuda", None, None) == ["cuda:0", "cuda:1", "cuda:2"]
    assert places_on("cuda", None, "2") == ["cuda:0", "cuda:1", "cuda:2"] * 2
    assert places_on("cuda", "4", "2") == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert places_on("cuda:1", None, "2") == ["cuda:1"] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cuda", "3", None), "`--jobs` must be at most 2 (1 on each of 2 GPUs), found 3."),
        (("cuda", None, "0"), "`--per-gpu` must be a whole number from 1 to 1024, found '0'."),
        (("cpu", None, "2"), "`--per-gpu` must stand with GRADSURGERY_DEVICE=cuda, found the device 'cpu'."),
        (("cpu", "-1", None), "`--jobs` must be a whole number from 1 to 1024, found '-1'."),
    ],
)
def test_what_does_not_fit_is_one_sentence(monkeypatch, arguments, said):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        places_on(*arguments)


@pytest.mark.slow
def test_where_nothing_can_be_forked_processes_are_spawned(monkeypatch):
    """As on macOS and Windows: what a task is, does and tells goes through pickles."""
    monkeypatch.setattr(sys, "platform", "darwin")
    told = _heard(TASKS[:2], ["x", "y"])
    assert len({content for _, name, content in told if name == "process"}) == 2
    assert sorted(task for task, name, _ in told if name == "done") == ["a", "b"]
