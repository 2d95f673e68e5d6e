"""The device: who decides it, what is refused, what is recorded, and that no result is taken for another device's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import available, find
from gradsurgery.experiment import build_learner
from pipelines import _params, _plan, train
from pipelines._checkpoints import finished, keep, resume, save
from pipelines._costs import environment
from pipelines._device import VARIABLE, Compute, asked_device, device_for, fingerprint_on, read_compute, with_precision
from pipelines._device import facts as facts_of

GPU = "Some GPU"


@pytest.fixture(autouse=True)
def _nobody_told(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(
        _params.CHECKED, _params.sha256_of(Path("params.yaml"))
    )  # every line's parts are built elsewhere


@pytest.fixture
def gpus(monkeypatch):
    """A machine with two GPUs, as far as it is asked."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: GPU)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_an_argument_goes_before_the_variable_and_that_before_params_yaml(gpus, monkeypatch):
    assert asked_device(None, Compute("cuda:1"), "laptop") == "cuda:1"
    monkeypatch.setenv(VARIABLE, "cuda")
    assert asked_device(None, Compute("cuda:1"), "laptop") == "cuda"
    assert asked_device("cpu", Compute("cuda:1"), "laptop") == "cpu"
    monkeypatch.setenv(VARIABLE, "")
    assert asked_device(None, Compute("cuda:1"), "laptop") == "cuda:1"


def test_auto_takes_a_gpu_at_scale_paper_alone(gpus):
    assert [asked_device(None, Compute(), scale) for scale in _params.SCALES] == ["cpu", "cpu", "cpu", "cuda"]


def test_auto_is_the_cpu_without_a_gpu(no_gpu):
    assert asked_device(None, Compute(), "paper") == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:x", "meta", "CPU", " cpu"])
@pytest.mark.parametrize("source", ["compute.device", VARIABLE, "--device"])
def test_no_device_is_refused_by_the_name_of_its_source(device, source, monkeypatch):
    if source == VARIABLE:
        monkeypatch.setenv(VARIABLE, device)
    compute = Compute(device if source == "compute.device" else "auto")
    with pytest.raises(ValueError, match=f"^`{source}` must be auto, cpu, cuda or cuda:<number>, found '{device}'\\.$"):
        asked_device(device if source == "--device" else None, compute, "smoke")


def test_a_gpu_that_is_not_there_is_refused(gpus):
    with pytest.raises(ValueError, match=r"^`--device` must be .* which has 2 CUDA devices, found 'cuda:2'\.$"):
        asked_device("cuda:2", Compute(), "smoke")


def test_without_any_gpu_none_is_there(no_gpu):
    with pytest.raises(ValueError, match=r"^`--device` must be .* which has no CUDA devices, found 'cuda'\.$"):
        asked_device("cuda", Compute(), "smoke")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"device": "gpu"}, "`compute.device` must be auto, cpu, cuda or cuda:<number>, found 'gpu'"),
        ({"device": 0}, "`compute.device` must be auto, cpu, cuda or cuda:<number>, found 0"),
        ({"device": None}, "`compute.device` must be auto, cpu, cuda or cuda:<number>, found None"),
        ({"precision": "float64"}, "`compute.precision` must be one of float32, bfloat16, float16, found 'float64'"),
        ({"precision": ["float32"]}, "`compute.precision` must be one of .*, found \\['float32'\\]"),
        ({"threads": 2}, "`compute.threads` is no field of it; its fields are: device, precision"),
        ([], "`compute` must be a block of named values, found \\[\\]"),
    ],
)
def test_a_wrong_block_is_refused(block, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        read_compute(block)


def test_the_rules_that_need_the_cpu_say_so_themselves():
    assert {name for name in available("rules") if find("rules", name).cpu_only} == {"descent", "floor"}


def test_landscapes_and_the_floor_run_on_the_cpu_whatever_the_device(declare, arrays, gpus):
    """At scale paper on a machine with a GPU, which 28 lines refused."""
    params = _params.load()
    cuda = asked_device(None, params.compute, "paper")
    assert cuda == "cuda"
    chosen = {name: device_for(e.declaration, cuda) for name, e in params.experiments.items()}
    on_cpu = {name for name, device in chosen.items() if device == "cpu"}
    landscapes = {n for n, e in params.experiments.items() if e.declaration["module"] == "landscape"}
    assert len(landscapes) >= 28
    assert on_cpu == landscapes | {n for n, e in params.experiments.items() if e.declaration["rule"]["name"] == "floor"}
    assert len(on_cpu) < len(chosen)


def test_the_library_puts_them_there_too():
    declaration = _params.load().experiments["cagrad_toy-mean"].declaration
    learner = build_learner(declaration, {"starts": np.zeros((1, 2))}, 0, "meta")
    assert learner.device == torch.device("cpu")
    assert learner.network.theta.device == torch.device("cpu")


def test_the_precision_of_all_is_that_of_lines_that_say_none():
    lines = {n: e for n, e in _params.load().experiments.items() if e.problem in ("cagrad_toy", "multi_mnist")}
    assert with_precision(lines, Compute()) == lines
    halved = with_precision(lines, Compute(precision="bfloat16"))
    for name, line in lines.items():
        own = halved[name].declaration
        if line.problem == "cagrad_toy":  # numpy in float64
            assert own == line.declaration
        else:
            assert own == {**line.declaration, "learner": {**line.declaration["learner"], "precision": "bfloat16"}}
    assert with_precision(halved, Compute(precision="float16")) == halved | {
        n: e for n, e in halved.items() if e.problem == "multi_mnist"
    }


def test_params_yaml_says_both_and_refuses_what_is_wrong(tmp_path, monkeypatch):
    text = Path("params.yaml").read_text(encoding="utf-8")
    assert _params.load().compute == Compute("auto", "float32")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("precision: float32}", "precision: float8}"), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"`compute\.precision` must be one of float32, bfloat16, float16, found 'float8'"
    ):
        _params.load(path)
    path.write_text(text.replace("{device: auto, precision: float32}", "{device: cpu, precision: bfloat16}"), "utf-8")
    monkeypatch.setenv(_params.CHECKED, _params.sha256_of(path))
    params = _params.load(path)
    assert params.compute == Compute("cpu", "bfloat16")
    assert params.experiments["multi_mnist-sum"].declaration["learner"]["precision"] == "bfloat16"


def test_costs_say_what_gpu_it_was_and_the_cpu_says_nothing_new(gpus):
    assert facts_of("cpu") == {"device": "cpu"}
    on_gpu = environment("cuda:1")
    assert on_gpu["device"] == GPU
    assert on_gpu["cuda"] == torch.version.cuda
    assert on_gpu["driver"]
    assert on_gpu["tf32"] == "matmul off, cudnn on"
    assert set(environment("cpu")) == set(on_gpu) - {"cuda", "driver", "tf32"}


def test_a_fingerprint_says_the_model_of_the_gpu_but_not_its_number(gpus):
    assert fingerprint_on("abc", "cpu") == "abc"
    assert fingerprint_on("abc", "cuda") == fingerprint_on("abc", "cuda:1") == f"abc@{GPU}"


def test_a_result_of_another_device_is_said_and_not_taken(tmp_path, gpus, capsys):
    path, result = tmp_path / "seed-0.json", {"history": {"experiment": tmp_path.name, "seed": 0}}
    keep(tmp_path, 0, "abc", result)
    assert finished(tmp_path, 0, "abc") == result
    assert finished(tmp_path, 0, "other") is None
    assert capsys.readouterr().err == ""
    assert finished(tmp_path, 0, fingerprint_on("abc", "cuda")) is None
    assert capsys.readouterr().err == (
        f"warning: {path} was made on the device cpu, and this is {GPU}: it starts anew.\n"
    )


def test_a_checkpoint_of_another_device_is_said_and_not_continued(make, tmp_path, gpus, capsys):
    path, learner = tmp_path / "seed-0.pt", make("sum")
    learner.epoch()
    save(path, fingerprint_on("abc", "cuda"), 3.0, learner)
    fresh, spent = resume(path, "abc", lambda: make("sum"))
    assert (fresh.epochs, spent) == ([], 0.0)
    assert capsys.readouterr().err == (
        f"warning: {path} was made on the device {GPU}, and this is cpu: it starts anew.\n"
    )


@pytest.mark.parametrize("device", ["gpu", "cuda"])
def test_train_refuses_before_any_work(device, no_gpu, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv(VARIABLE, device)
    monkeypatch.setattr(train, "load_or_exit", _params.load)
    monkeypatch.setattr(_plan, "hashes_of", lambda *_: pytest.fail("looked at the data first"))
    assert train.main(["multi_mnist-sum"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: `{VARIABLE}` must be ")
    assert error.count("\n") == 1
