"""`pytest --surgery module:name` in a project of one's own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINE = """
def mean(J):
    return J.mean(dim=0)

mean.claims = ("shape", {claim!r})
"""

HANGS = MINE.replace("return", "while len(J) > 1 and (J @ J.mean(dim=0)).min() < -1e-6: pass\n    return")


@pytest.fixture
def project(tmp_path):
    (tmp_path / "test_of_my_own.py").write_text("def test_mine(): pass\n")
    return tmp_path


def run(project, claim, *arguments, mine=MINE):
    (project / "mine.py").write_text(mine.format(claim=claim))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "pytest_gradsurgery", "-rA", "-q"]
    return subprocess.run(
        [*command, "--surgery", "mine:mean", "--surgery-examples", "5", *arguments], cwd=project, capture_output=True,
        text=True, env={"PYTHONPATH": f"{ROOT / 'src'}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_a_broken_claim_fails_with_its_counterexample(project):
    done = run(project, "non_conflict")
    assert done.returncode == 1
    assert "FAILED mine:mean::non_conflict" in done.stdout
    assert "broken by J = torch.tensor([[" in done.stdout
    assert "PASSED mine:mean::shape" in done.stdout
    assert "XFAIL mine:mean::stationary" in done.stdout, "not claimed"
    assert "test_mine" not in done.stdout, "without a path these are the only tests"


def test_claims_that_hold_pass_beside_ones_own_tests(project):
    done = run(project, "permutation", "test_of_my_own.py", "-k", "permutation or mine or weights")
    assert done.returncode == 0, done.stdout
    assert "PASSED mine:mean::permutation" in done.stdout
    assert "PASSED test_of_my_own.py::test_mine" in done.stdout


@pytest.mark.parametrize(("claim", "mine", "arguments", "said"), [
    ("non_conflct", MINE, [], "did you mean non_conflict"),
    ("shape", MINE, ["--surgery-limit", "-1"], "must be a positive number of seconds, found -1.0"),
    ("shape", "def mean(J): return None  # {claim}", [], "must return a tensor (6,), found nothing"),
])  # fmt: skip
def test_a_wrong_use_is_said_before_any_test(project, claim, mine, arguments, said):
    done = run(project, claim, *arguments, mine=mine)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stdout + done.stderr


def test_a_method_that_hangs_has_no_answer_and_the_rest_goes_on(project):
    done = run(project, "non_conflict", "--surgery-limit", "2", "-k", "shape or one_task or non_conflict", mine=HANGS)
    assert done.returncode == 1, done.stdout
    assert "FAILED mine:mean::non_conflict" in done.stdout
    assert "FAILED mine:mean::shape" in done.stdout
    assert "no answer at J = torch.tensor([[" in done.stdout
    assert "(no answer within 2 s, after" in done.stdout
    assert "XFAIL mine:mean::non_conflict_decades - not claimed" in done.stdout
    assert "PASSED mine:mean::one_task" in done.stdout


def test_a_run_without_it_does_not_import_the_library(project):
    probe = (
        "import sys\n\n\ndef test_it():\n    assert 'gradsurgery' not in sys.modules and 'torch' not in sys.modules\n"
    )
    (project / "test_of_my_own.py").write_text(probe)
    command = [sys.executable, "-m", "pytest", "-p", "pytest_gradsurgery", "-p", "no:cacheprovider", "-q", "-p",
               "no:jaxtyping"]  # fmt: skip
    done = subprocess.run(
        command, cwd=project, capture_output=True, text=True,
        env={"PYTHONPATH": f"{ROOT / 'src'}", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
