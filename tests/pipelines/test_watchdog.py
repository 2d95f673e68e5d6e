"""Who started a training: told by the environment, which may be told wrong."""

import os

import pytest

from pipelines._watchdog import drivers


def test_the_named_driver_is_watched(monkeypatch):
    monkeypatch.setenv("GRADSURGERY_DRIVER_PID", str(os.getpid()))
    assert os.getpid() in [process.pid for process in drivers()]


@pytest.mark.parametrize("named", ["x", "-3", "1.5", "²"])
def test_a_driver_that_is_no_process_is_said_and_ignored(named, monkeypatch, capsys):
    monkeypatch.setenv("GRADSURGERY_DRIVER_PID", named)
    drivers()
    assert capsys.readouterr().err == (
        f"warning: `GRADSURGERY_DRIVER_PID` must be a process, found {named!r}: ignored.\n"
    )
