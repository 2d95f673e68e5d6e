"""A method that hangs costs the property that it hangs in, and nothing else; Ctrl-C leaves nothing behind."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from gradsurgery import certify
from gradsurgery.certify import limit
from gradsurgery.cli import main
from tests.certify import broken

ROOT = Path(__file__).parents[2]
HANGS = "tests.certify.broken:hangs"


def found(name, seconds, *properties, **more):
    make = partial(certify.subject, f"tests.certify.broken:{name}", trial=False, **more)
    return certify.certify_within(seconds, make, properties, examples=8)


def test_what_hangs_has_no_answer_and_the_rest_goes_on(capsys):
    """The clock starts with the first call, so that even no time at all is enough to say at which J it hangs."""
    code = main(["certify", HANGS, "--only", "one_task,permutation,input_kept", "--examples", "8", "--limit", "5"])
    said = capsys.readouterr()
    assert code == 1, "a claim without an answer is no certificate"
    assert "permutation           yes      no answer" in said.out
    assert "one_task              yes      holds" in said.out
    assert "(no answer within 5 s, after " in said.out
    assert f"{HANGS} is certified: one_task.\nNo answer: input_kept, permutation." in said.out
    assert said.err == ""


@pytest.mark.parametrize("seconds", [1e-6, 0.3])
def test_the_j_that_hung_it_is_told(seconds):
    [finding] = found("hangs", seconds, "permutation")
    assert (finding.verdict, finding.claimed, finding.tried) == ("no answer", True, 0)
    J = eval(finding.counterexample, {"torch": torch})
    assert len(J) > 1
    assert J.shape[1] < 6
    assert certify.unanswered_claims([finding]) == ["permutation"]
    assert certify.broken_claims([finding]) == []


def test_what_broke_before_it_hung_is_kept():
    [finding] = found("hangs_when_smaller", 5.0, "one_task")
    assert finding.verdict == "fails"
    J = eval(finding.counterexample, {"torch": torch})
    assert float(broken.hangs_when_smaller(J) @ J[0]) < 0.0, "and it answers there"


def test_a_process_that_ends_itself_is_no_answer_either():
    one, other = found("dies", 60.0, "permutation", "one_task", claims=("one_task",))
    assert (one.verdict, other.verdict) == ("holds", "no answer")
    assert "exit code 7" in other.note


def test_what_is_in_time_is_what_there_is_without_a_limit():
    names = ("permutation", "non_conflict", "certificate")
    subject = certify.subject("cagrad", fields={"c": 0.5})
    make = partial(certify.subject, "cagrad", fields={"c": 0.5})
    assert certify.certify_within(300.0, make, names, examples=8, seed=3) == certify.certify(subject, names, 8, 3)


def test_a_method_that_hangs_at_once_is_a_wrong_input(capsys):
    assert main(["certify", "tests.certify.broken:hangs_at_once", "--limit", "0.5"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "error: `tests.certify.broken:hangs_at_once` must return a direction, found no answer within 10 s.\n"
    )


def test_what_was_interrupted_answers_no_other_question(monkeypatch):
    with limit.Limited(300.0, partial(certify.subject, "sum", trial=False), examples=8) as limited:

        def interrupt(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(limited._worker, "_hear", interrupt)
            with pytest.raises(KeyboardInterrupt):
                limited.finding("one_task")
        assert limited.finding("permutation").name == "permutation"
        limited.close()
        assert limited.finding("alike").verdict == "holds", "whoever asks again starts another"


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "inf", "nan"])
def test_a_wrong_limit_is_one_sentence(seconds, capsys):
    assert main(["certify", HANGS, f"--limit={seconds}"]) == 2
    assert capsys.readouterr().err == f"error: `--limit` must be a positive number of seconds, found {seconds!r}.\n"


def test_the_library_refuses_it_too():
    with pytest.raises(ValueError, match="`limit` must be a positive number of seconds, found 0"):
        certify.certify_within(0.0, partial(certify.subject, "sum"))


def test_where_nothing_can_be_forked_it_is_spawned(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    one, other = found("hangs", 5.0, "permutation", "one_task")
    assert (one.verdict, other.verdict) == ("holds", "no answer")


@pytest.fixture
def command():
    """`gradsurgery certify` that hangs for good, as a process group of its own, once it has said something."""
    # a background job of a shell ignores interrupts, and so does what it starts
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from gradsurgery.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "certify", HANGS, "--only", "one_task,permutation", "--limit", "5000"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"},
    )  # fmt: skip
    lines = [process.stdout.readline() for _ in range(3)]
    assert "one_task" in lines[2], process.stderr.read()
    children = psutil.Process(process.pid).children(recursive=True)
    yield process, children
    for each in children:
        if each.is_running():
            each.kill()
    process.kill()
    process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_an_interrupt_ends_both_at_once(command):
    process, children = command
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=400)
    assert process.returncode == 130
    assert said == "\ninterrupted after 1 properties; the same command begins anew.\n"
    psutil.wait_procs(children, timeout=60)
    assert not [each for each in children if each.is_running()]


def test_a_killed_parent_leaves_nothing_that_runs(command):
    process, children = command
    process.kill()
    _, running = psutil.wait_procs(children, timeout=30)
    assert running == []
