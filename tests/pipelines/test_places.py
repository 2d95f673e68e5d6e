"""Where experiments run: cores, or GPUs by turns; pretended here, as no test has one."""

import json
import re
import sys

import pytest

from pipelines._places import gpus, places
from pipelines._warm import ADDRESS
from pipelines._workers import Workers

VISIBLE = "CUDA_VISIBLE_DEVICES"


def test_a_core_has_no_environment_of_its_own():
    assert places("cpu", "3", None) == [{}] * 3
    assert len(places("cpu", None, None)) >= 1


def test_trainers_take_turns_on_the_gpus(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert [place[VISIBLE] for place in places("cuda", None, None)] == ["0", "1", "2"]
    assert [place[VISIBLE] for place in places("cuda", None, "2")] == ["0", "1", "2", "0", "1", "2"]
    assert [place[VISIBLE] for place in places("cuda", "4", "2")] == ["0", "1", "2", "0"]


def test_a_numbered_gpu_is_the_only_one(monkeypatch):
    monkeypatch.setenv(VISIBLE, "4,6")
    assert places("cuda:1", None, "2") == [{VISIBLE: "6", "GRADSURGERY_DEVICE": "cuda"}] * 2
    with pytest.raises(ValueError, match=r"must be cpu or one of 2 GPUs, found 'cuda:2'"):
        places("cuda:2", None, None)


@pytest.mark.parametrize(("given", "found"), [("2,5", ["2", "5"]), ("GPU-1a", ["GPU-1a"]), ("", []), ("-1", [])])
def test_only_the_gpus_that_the_user_gave_are_taken(monkeypatch, given, found):
    monkeypatch.setenv(VISIBLE, given)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    assert gpus() == found


@pytest.mark.parametrize(
    ("arguments", "there", "said"),
    [
        (("cuda", "3", None), 2, "`--jobs` must be at most 2 (1 on each of 2 GPUs), found 3."),
        (("cuda", None, "0"), 2, "`--per-gpu` must be a whole number from 1 to 1024, found '0'."),
        (("cuda", None, None), 0, "`GRADSURGERY_DEVICE` must be cpu or one of 0 GPUs, found 'cuda'."),
        (("cpu", None, "2"), 2, "`--per-gpu` must stand with GRADSURGERY_DEVICE=cuda, found the device 'cpu'."),
        (("cpu", "-1", None), 0, "`--jobs` must be a whole number from 1 to 1024, found '-1'."),
    ],
)
def test_what_does_not_fit_is_one_sentence(monkeypatch, arguments, there, said):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        places(*arguments)


@pytest.fixture
def dvc(tmp_path):
    """In the place of DVC: writes down its stages and the GPU that it was given, once both workers have one."""
    program = tmp_path / "dvc"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys, time\n"
        "own = pathlib.Path(f'{time.time_ns()}.json')\n"
        f"own.write_text(json.dumps([os.environ.get({VISIBLE!r}), sys.argv[4:]]))\n"
        "until = time.monotonic() + 10\n"
        "while len(list(pathlib.Path().glob('*.json'))) < 2 and time.monotonic() < until: time.sleep(0.01)\n"
    )
    program.chmod(0o755)
    return {"PATH": str(tmp_path)}


def test_every_worker_hands_its_gpu_to_its_trainers_and_no_process_forks_them(tmp_path, dvc):
    workers = Workers(tmp_path, dvc, [{VISIBLE: "0"}, {VISIBLE: "1"}])
    with workers.warm():
        _, failures = workers.share_out("train", "experiment", ["train@a", "train@b", "train@c"], 1)
    assert failures == []
    seen = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert {gpu for gpu, _ in seen} == {"0", "1"}
    assert sorted(stage for _, stages in seen for stage in stages) == ["train@a", "train@b", "train@c"]
    assert ADDRESS not in dvc
