"""Several processes for one run: two gloo ranks against one process for whatever a run is made of, and `torchrun`."""

import json
import math
import os
import signal
import sys
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from gradsurgery.core.batch_statistics import of_processes
from gradsurgery.core.declaration import validate
from gradsurgery.experiment import build_learner
from pipelines import _ranks, train
from pipelines._device import fingerprint_on
from pipelines._equal_states import check_equal
from tests.pipelines.conftest import two_alike
from tests.pipelines.divided import arrays, declared, lines, trained

LINES = lines()
ALONE = {"rules/descent", "rules/dr_mgf", "rules/floor", "rules/sac"}  # what several processes may refuse
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "pipelines.train")


def normalised(rank=None):
    """BatchNorm on two batches: gradients, statistics, and the slopes of the gradients."""
    found = []
    torch.manual_seed(0)
    for n in (16, 15):
        network = nn.Sequential(
            nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(180, 7),
            nn.BatchNorm1d(7, momentum=None), nn.Linear(7, 3),
        ).double()  # fmt: skip
        x, share = torch.randn(n, 1, 8, 8).double(), 1.0
        if rank is not None:
            of_processes(network, True)
            x = x.tensor_split(2)[rank]
            share = 2 * len(x) / n
        parameters = list(network.parameters())
        for _ in range(2):
            loss = network(x).square().sum(dim=1).mean() * share
            gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        along = sum((g * torch.linspace(-1, 1, g.numel()).double().view_as(g)).sum() for g in gradients)
        bends = torch.autograd.grad(along, parameters, allow_unused=True)
        own = [g.detach().clone() for g in (*gradients, *bends) if g is not None]
        if rank is not None:
            for g in own:
                dist.all_reduce(g)
                g /= 2
        network.eval()
        found.append([*own, *network.buffers(), network(torch.ones(3, 1, 8, 8).double()).detach()])
    return found


def drifted(rank):
    """What is said of processes whose learners are equal, and of those of which one has moved a single number."""
    learner = build_learner(declared(), arrays()["overlay"], 0)
    check_equal(learner)
    with torch.no_grad():
        next(learner.network.parameters())[0] += rank * 1e-7
    try:
        check_equal(learner)
    except ValueError as error:
        return str(error)


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {name: trained(line) for name, line in LINES.items()}
    found |= {"normalised": normalised(rank), "drifted": drifted(rank), "device": fingerprint_on("abc", "cpu")}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, args=(folder,), nprocs=2)
        return [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(2)]


def close(found, wanted, relative, absolute):
    """Whether all numbers of two documents of one form agree."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[k], wanted[k], relative, absolute) for k in wanted)
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(
            close(*pair, relative, absolute) for pair in zip(found, wanted, strict=True)
        )
    if isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=relative, abs_tol=absolute)
    return bool(found == wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LINES if name != "own statistics"])
def test_two_processes_equal_one(name, ranks):
    if name == "aggregators/torchjd":
        pytest.importorskip("torchjd")
    first, second = (own[name] for own in ranks)
    if isinstance(first, str):
        assert name in ALONE
        assert first == second == f"rule `{name.partition('/')[2]}` must run in one process, found 2."
        return
    parameters, rows, diagnostics, seen = trained(LINES[name])
    assert torch.equal(first[0], second[0])
    assert repr(first[1:]) == repr(second[1:])
    assert float((first[0] - parameters).abs().max()) < 1e-6
    assert close(first[1], rows, 1e-5, 1e-6)
    # A cosine is a difference of large numbers; `deviation` of a method that did nothing is rounding of 3e-4.
    assert close(first[2:], (diagnostics, seen), 1e-4, 3e-4)


@pytest.mark.slow
def test_a_run_moves_further_than_two_processes_may_differ():
    start = build_learner(declared("sum"), arrays()["overlay"], 0).network
    moved = trained(declared("sum"))[0]
    assert float((torch.cat([p.detach().flatten() for p in start.parameters()]) - moved).abs().max()) > 1e-2


@pytest.mark.slow
def test_batchnorm_shares_its_statistics_only_where_it_is_asked_to(ranks):
    for found, wanted in zip(ranks[0]["normalised"], normalised(), strict=True):
        for ours, whole in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours, whole, rtol=1e-9, atol=1e-12)
    first, second = (own["own statistics"] for own in ranks)
    assert torch.equal(first[0], second[0])
    assert repr(first[1:]) == repr(second[1:])  # evaluated with the statistics of the first one
    assert float((first[0] - trained(LINES["own statistics"])[0]).abs().max()) > 1e-4


@pytest.mark.slow
def test_processes_that_drift_apart_are_told_so_in_all_of_them(ranks):
    said = "all processes must be equal after epoch 0, found rank 1 apart from rank 0: are their devices of one kind?"
    assert [own["drifted"] for own in ranks] == [said, said]


@pytest.mark.slow
def test_results_of_two_processes_are_nobody_elses(ranks):
    assert [own["device"] for own in ranks] == ["abc@cpu x 2"] * 2
    assert fingerprint_on("abc", "cpu") == "abc"


def test_the_setting_is_the_learners():
    validate(declared(sync_batchnorm=True))
    with pytest.raises(ValueError, match=r"`learner.sync_batchnorm` must be true or false, found 'yes'"):
        validate(declared(sync_batchnorm="yes"))


@pytest.fixture
def first(monkeypatch):
    """As the first of two processes of torchrun finds its environment."""
    told = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    ("arguments", "variable", "said"),
    [
        (["--jobs", "2"], None, "`--jobs` must be left out under torchrun, .* found 2."),
        (["--per-gpu", "3"], None, "`--per-gpu` must be left out under torchrun, .* found 3."),
        (["--cluster", "tcp://x:1"], None, "`--cluster` must be left out under torchrun, .* found tcp://x:1."),
        ([], "GRADSURGERY_JOBS", "`--jobs` must be left out under torchrun, .* found 2."),
        (["--dry"], None, "`--dry` must be left out under torchrun, .* found True."),
    ],
)
def test_what_shares_out_runs_is_refused(arguments, variable, said, monkeypatch, capsys):
    if variable:
        monkeypatch.setenv(variable, "2")
    assert train.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(ValueError, match=f"^{said}$"):
        _ranks.refuse(train._arguments(arguments))


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    ("device", "declaration", "said"),
    [
        ("cpu", declared("sum", rule="dr_mgf"), "a line: rule `dr_mgf` must run in one process, found 2."),
        ("cpu", {**declared(), "module": "arml"}, "a line: problem `arml` must run in one process, found 2."),
        ("cpu", declared(settings={"batch_size": 1}), "a line: `batch_size` must be at least .* 2, found 1."),
        ("cuda:1", declared(), "`--device` must be cpu or cuda under torchrun, found 'cuda:1'."),
    ],
)
def test_what_two_processes_cannot_train_is_refused_before_any_work(device, declaration, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        _ranks.begin(device, [SimpleNamespace(name="a line", declaration=declaration)])


@pytest.fixture(scope="module")
def folders(checkout, params, pins, tmp_path_factory):
    """Two folders with the same two runs, long enough to be caught."""
    smoke = {"epochs": 12, "seeds": [0], "lr": 1e-3, "optimizer": "sgd"}
    return two_alike(checkout, params, pins, tmp_path_factory.mktemp("ranks"), ("straight", "killed"), **smoke)


def load(folder):
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


def histories(root):
    return {path.name: path.read_bytes() for path in sorted((root / "reports/history").rglob("multi_mnist*.json*"))}


@pytest.mark.slow
def test_a_killed_rank_ends_all_and_the_same_command_ends_in_the_same_bytes(folders):
    straight, killed = folders
    names = ["multi_mnist-sum", "multi_mnist-pcgrad"]
    started = killed.start(*TORCHRUN, *names)
    deadline = time.monotonic() + 300
    while not list((killed.root / "runs").glob("*/seed-0.pt")):
        assert started.poll() is None, started.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    below = psutil.Process(started.pid).children(recursive=True)
    ranks = {own.environ().get("RANK"): own for own in below if "pipelines.train" in own.cmdline()}
    os.kill(ranks["1"].pid, signal.SIGKILL)
    said = started.communicate(timeout=300)[0]
    assert started.returncode == 1
    assert "the same command goes on" in said
    assert not any(own.is_running() for own in below)
    assert not histories(killed.root)

    resumed = killed.run(*TORCHRUN, *names)
    assert "2 runs trained now" in resumed.stdout
    assert straight.run(*TORCHRUN, *names).stdout.count("2 runs trained now") == 1  # one process speaks
    assert histories(killed.root) == histories(straight.root)
    assert len(histories(straight.root)) == 2

    for text in histories(straight.root).values():
        line = json.loads(text)
        learner = build_learner(line["declaration"], load(straight.root / "data/processed/multi_mnist"), 0)
        assert close(line["epochs"], [learner.epoch() for _ in line["epochs"]], 1e-5, 1e-6)
