"""`make paper-check` and `make plan SCALE=paper`: what is counted, what is reckoned of it, and what does not run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gradsurgery.core.capabilities import Trunk
from gradsurgery.core.declaration import parts_of
from gradsurgery.core.interfaces import Network
from gradsurgery.transforms._tracing import trace
from pipelines import _paper, _paper_plan, _sizes, _steps, paper_check
from pipelines._paper_plan import BYTES, FLOPS, LAUNCH_S, tell_paper
from pipelines._params import CHECKED, load, sha256_of
from pipelines._plan import Plan
from pipelines._records import Records
from pipelines._schedule import Schedule
from pipelines._steps import Counter, Task, take, taken

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv(CHECKED, sha256_of(ROOT / "params.yaml"))  # whose lines other tests check
        return load(scale="paper")


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A folder with what a fresh clone has and no data, nor anything that was measured."""
    (tmp_path / "data").mkdir()
    for name in ("params.yaml", "protocol.yaml", "data/pins.yaml", "data/sizes.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CHECKED, sha256_of(tmp_path / "params.yaml"))
    _sizes.sizes.cache_clear()
    return tmp_path


def test_what_is_counted_is_products_and_operations_but_for_views():
    a, b = torch.ones(3, 4), torch.ones(5, 4)
    with Counter() as counter:
        a @ b.T
        (a + 1.0).view(12)
    assert (counter.launches, counter.flops) == (2, 2 * 3 * 4 * 5)
    assert counter.bytes == 4 * (12 + 20 + 15) + 4 * (12 + 12)


@pytest.mark.parametrize("groups", [1, 4, 64])
def test_both_gradients_of_a_convolution_take_what_it_takes_also_in_groups(groups):
    layer = torch.nn.Conv2d(64, 64, 7, padding=3, groups=groups, bias=False)
    with Counter() as forward:
        out = layer(torch.ones(2, 64, 14, 14, requires_grad=True))
    with Counter() as backward:
        out.sum().backward()
    assert forward.flops == 2 * 2 * 14 * 14 * 64 * 49 * 64 // groups
    assert backward.flops == 2 * forward.flops


def test_every_problem_of_scale_paper_has_arrays_of_a_size(params, bare):
    for name, problem in params.problems.items():
        entry = _sizes.of(problem, params.datasets)
        assert (entry is None) == (not problem.sources or name.startswith("metaworld")), name
    table = _sizes.sizes()["arrays"]
    assert _sizes.gigabytes(table["yeast"]) == pytest.approx((1209 + 483 + 725) * (103 * 4 + 14) / 1e9)
    labels = _sizes.drawn(params.problems["cifar100_superclass"], params.datasets, 6, 2)["train_labels"]
    assert labels.shape == (6, 20, 2)
    assert (labels[..., 0] == np.arange(20)).all()
    assert labels[..., 1].max() == 4


def _task(params, name):
    line = params.experiments[name]
    source = line.declaration.get("evidence")
    return Task(line, params.problems[line.problem], params.datasets, source and params.experiments[source])


def test_a_line_takes_its_steps_at_full_size(params, bare):
    found = {name: take(_task(params, name), "cpu") for name in ("yeast-sum", "yeast-pcgrad")}
    each, surgery = found.values()
    assert each["parameters"] == surgery["parameters"] == 71566
    assert each["steps_a_batch"] == surgery["steps_a_batch"] == 1.0
    rows, inputs, width, K, P = 64, 103, 128, 14, 13312  # of a batch, of the shared layer, tasks, shared parameters
    gradients, gram = (K - 1) * 2 * rows * inputs * width, 2 * K * K * P
    assert surgery["gflop"] - each["gflop"] == pytest.approx((gradients + gram) / 1e9, rel=0.01)
    assert each["launches"] < surgery["launches"]
    assert each["finite"]
    assert each["seconds"] > 0


@pytest.mark.parametrize(
    ("name", "rows", "batch"),
    [
        ("celeba-pcgrad", 4, 256),
        ("arml_500-pcgrad", 74, 256),
        ("nyuv2-pcgrad", 1, 2),
        ("camvid-sum", 2, 8),
        ("multi_mnist-sum", 256, 256),
    ],
)
def test_a_cpu_takes_a_part_of_a_large_batch_and_a_gpu_all_of_it(params, bare, name, rows, batch):
    assert taken(_task(params, name), "cpu") == (rows, batch)
    assert taken(_task(params, name), "cuda") == (batch, batch)


@pytest.mark.parametrize("name", ["multi_mnist-pcgrad", "multi_mnist-sam_gs"])
def test_what_a_part_of_a_batch_takes_is_reckoned_for_the_whole(params, bare, monkeypatch, name):
    whole = take(_task(params, name), "cpu")
    assert (whole["rows"], whole["batch"]) == (256, 256)
    for numbers, rows in ((2 * (36 * 36 + 2) * 17, 16), (0, 4)):
        monkeypatch.setattr(_steps, "_NUMBERS", numbers)
        part = take(_task(params, name), "cpu")
        assert (part["rows"], part["batch"], part["judged"]["rows"]) == (rows, 256, rows)
        assert part["finite"]
        for count in ("launches", "gflop", "gigabytes"):
            assert part[count] == pytest.approx(whole[count], rel=0.02), count


def test_the_step_that_is_counted_is_one_of_training(params, bare, monkeypatch):
    modes = []
    counted = _steps._counted

    def watched(learner, batches):
        learner.network.register_forward_pre_hook(lambda network, given: modes.append(network.training))
        return counted(learner, batches)

    monkeypatch.setattr(_steps, "_counted", watched)
    assert take(_task(params, "multi_mnist-sum"), "cpu")["finite"]
    assert modes[0], "evaluating has left the network in its own mode"


def test_what_trains_on_all_rows_takes_its_steps_and_is_reckoned_with_all(params, bare):
    line = params.experiments["multi_mnist-sum"]
    assert line.declaration["settings"]["hold_out"] is False
    assert take(_task(params, line.name), "cpu")["parameters"] == 47_450
    assert _paper_plan._steps(line, params, {"steps_a_batch": 1}) == 50 * (120_000 // 256)
    kept = line.declaration["settings"] | {"hold_out": True}
    other = replace(line, declaration={**line.declaration, "settings": kept})
    assert _paper.kind(line) == _paper.kind(other), "what was measured holds for both"


def test_lines_of_one_kind_differ_in_what_changes_no_size(params):
    lines = params.experiments
    same = ("dial_50_r1-pcgrad", "dial_m95_r1-pcgrad")
    assert _paper.kind(lines[same[0]]) == _paper.kind(lines[same[1]])
    for other in ("dial_50_r1-cagrad-c0_5", "dial4_m32_r1-pcgrad", "tied_2_r1-pcgrad", "dial_50_r1-sum"):
        assert _paper.kind(lines[same[0]]) != _paper.kind(lines[other])
    near = [_paper.near(lines[f"nyuv2-{name}"]) for name in ("cagrad-c0_2", "cagrad-c0_2-uncertainty", "mgda")]
    assert near[0] == near[1] != near[2]


def test_a_long_step_of_a_cpu_stands_for_other_weights_of_its_losses_and_no_other_method(params):
    lines = params.experiments
    other, method = lines["nyuv2-cagrad-c0_2-uncertainty"], lines["nyuv2-mgda"]
    for device, gflop, stands in (
        ("cpu", 101.0, True),
        ("cpu", 99.0, False),
        ("NVIDIA H200", 101.0, False),
    ):
        own = {"launches": 1, "taken": gflop, "environment": {"device": device}}
        record = _paper.labelled(lines["nyuv2-cagrad-c0_2"], {"state": "ok", **own})
        found = {record["kind"]: record}
        assert _paper.known(lines["nyuv2-cagrad-c0_2"], found)
        assert _paper.known(other, found) is stands
        assert not _paper.known(method, found)
    stochastic, exact = lines["imagenet_mae-gcond-stochastic"], lines["imagenet_mae-gcond"]
    record = _paper.labelled(exact, {"state": "ok", "launches": 1, "taken": 1e6, "environment": {"device": "cpu"}})
    assert not _paper.known(stochastic, {record["kind"]: record})
    assert _paper.missing([exact, stochastic], {record["kind"]: record}) == 1


def test_a_check_goes_on_where_it_was_and_says_what_does_not_run(bare, params, capsys, monkeypatch):
    assert paper_check.main(["yeast-sum", "--limit", "0.001"]) == 1
    assert "yeast-sum: not done after 0 seconds" in capsys.readouterr().out
    (bare / "workspaces/paper").mkdir(parents=True)
    monkeypatch.chdir(bare / "workspaces/paper")  # where a run is planned before it begins
    (record,) = _paper.read().values()
    monkeypatch.chdir(bare)
    assert record["line"] == "yeast-sum"
    assert _paper.of(params.experiments["yeast-sum"], _paper.read()) is None
    assert "| yeast-sum |  |" in _paper.TABLE.read_text()
    assert "Of 1 kinds of lines that were run 0 run; " in _paper.TABLE.read_text()
    assert paper_check.main(["no-such"]) == 2
    _paper.FOUND.write_text("{}\n")
    assert paper_check.main([]) == 2
    assert "reports/paper_check.jsonl must hold what `make paper-check` wrote" in capsys.readouterr().err


def test_what_did_not_run_beside_others_is_run_once_more_alone(bare, monkeypatch, capsys):
    seen = []

    def share_out(lines, wanted, heard, params, device, places, limit):
        seen.append((places, [line.name for line in lines]))
        for line in lines:
            state = "no memory" if line.name == "yeast-pcgrad" and (places > 1 or hopeless) else "ok"
            heard(line, {"state": state})

    monkeypatch.setattr(paper_check, "_share_out", share_out)
    for hopeless in (False, True):
        assert paper_check.main(["yeast-sum", "yeast-pcgrad", "--jobs", "2"]) == int(hopeless)
        assert seen[-2][0] == 2
        assert sorted(seen[-2][1]) == ["yeast-pcgrad", "yeast-sum"]
        assert seen[-1] == (1, ["yeast-pcgrad"])
        assert f"{int(hopeless)} of those that were run now do not run" in capsys.readouterr().out
    assert paper_check.main(["yeast-sum", "--jobs", "no"]) == 2


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_next_check_asks_again_what_did_not_run_and_forgets_what_no_line_is(bare, params, monkeypatch, jobs):
    sound, broken = params.experiments["yeast-sum"], params.experiments["yeast-pcgrad"]
    ran = _paper.labelled(sound, {"state": "ok"})
    failed = _paper.labelled(broken, {"state": "no memory"})
    gone = failed | {"line": "no-line", "kind": "no kind of any line"}
    (bare / "reports").mkdir()
    _paper.FOUND.write_text("\n".join(json.dumps(own) for own in (ran, failed, gone)))
    seen = []

    def share_out(lines, wanted, heard, params, device, places, limit):
        seen.append([line.name for line in lines if wanted(line)])
        if places == 1 and lines == [broken]:
            heard(broken, {"state": "ok"})

    monkeypatch.setattr(paper_check, "_share_out", share_out)
    assert paper_check.main(["--jobs", jobs]) == 0
    assert not {"yeast-sum", "yeast-pcgrad"} & set(seen[0])
    assert seen[1] == ["yeast-pcgrad"]
    assert {own["line"]: own["state"] for own in _paper.read().values()} == {"yeast-sum": "ok", "yeast-pcgrad": "ok"}


def test_a_run_on_a_cpu_has_two_processes_at_once_and_writes_what_they_found(bare, capsys):
    assert paper_check.main(["yeast-sum", "yeast-mgda", "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert "yeast-sum: ok, 71,566 parameters, batch 64, " in said
    assert {own["line"] for own in _paper.read().values()} == {"yeast-sum", "yeast-mgda"}
    assert "Of 2 kinds of lines that were run 2 run; " in _paper.TABLE.read_text()


def test_two_lines_of_one_kind_never_run_at_once(bare, monkeypatch):
    begun = []
    monkeypatch.setattr(paper_check, "Task", lambda line, *rest: begun.append(line.name) or Task(line, *rest))
    params = load(scale="paper")
    lines = [params.experiments[name] for name in ("dial_50_r1-pcgrad", "dial_m95_r1-pcgrad", "yeast-sum")]
    found = {}

    def heard(line, measured):
        found.update({_paper.kind(line): _paper.labelled(line, measured)})

    paper_check._share_out(lines, lambda line: not _paper.known(line, found), heard, params, "cpu", 2, 100.0)
    assert sorted(begun) == ["dial_50_r1-pcgrad", "yeast-sum"]
    assert {own["state"] for own in found.values()} == {"ok"}


def test_hours_follow_from_counts_without_data(bare, params, capsys):
    line = params.experiments["nyuv2-pcgrad"]
    judged = {"rows": 2, "gflop": 700.0, "gigabytes": 9.0}
    counts = {"launches": 5000, "gflop": 4000.0, "gigabytes": 60.0, "loading": 0.01, "steps_a_batch": 1.0}
    counts |= {"rows": 1, "batch": 2}
    counts |= {"seconds": 70.0, "memory_mb": 2048.0, "parameters": 44229072, "shared": 1, "judged": judged}
    known = _paper.labelled(line, {"state": "ok", **counts})
    total = _paper.labelled(params.experiments["nyuv2-sum"], {"state": "ok", **counts})
    _paper.write({own["kind"]: own for own in (known, total)}, 0)
    records = Records(bare, "paper")
    plan, schedule = Plan(params, records, "cpu"), Schedule(params, records, None)
    tell_paper(params, plan, schedule, [line, params.experiments["nyuv2-sum"], params.experiments["cityscapes-sum"]])
    said = capsys.readouterr().out
    step = 0.01 + max(5000 * LAUNCH_S, 4e12 / FLOPS + 60e9 / BYTES)
    looked = (654 + 50) / 2 * (7e11 / FLOPS + 9e9 / BYTES)
    hours = (200 * 397 * step + 200 * looked) / 3600
    assert f"{200 * 397:,}" in said
    assert f"{hours:.2f}" in said
    assert f">2.0 {200 * 397:>9,}" in said, "memory is that of a part of the batch"
    assert "| nyuv2-pcgrad | 44,229,072 | 1 of 2 | 2.00 | 70.000 |" in _paper.TABLE.read_text()
    assert "the examples that the column says: 2 kinds here" in _paper.TABLE.read_text()
    assert "3 lines, 9 runs to be trained, 7 GB" in said
    assert "NOT the 44,229,073 of CAGrad's code" in said
    assert "nyuv2 from data/own/nyuv2, which is missing; not prepared here" in said
    assert "not reckoned, as `make paper-check` has no numbers: 1 line, such as cityscapes-sum" in said


@pytest.mark.parametrize("scale", ["overnight", "paper"])
def test_every_network_has_what_its_lines_ask_of_it(scale, monkeypatch):
    """Recon follows a network by torch.fx, gradients of the representation want a trunk: else seen by a run alone."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(CHECKED, sha256_of(ROOT / "params.yaml"))
    lines = load(scale=scale)
    recon, representation = dict[str, Network](), dict[str, Network]()
    for line in lines.experiments.values():
        settings, options = dict(line.declaration["settings"]), line.declaration.get("learner", {})
        for asked, found in (
            (line.declaration["transform"]["name"] == "recon", recon),
            (options.get("gradients") == "representation", representation),
        ):
            if asked and (key := repr(settings["network"])) not in found:
                arrays = _sizes.drawn(lines.problems[line.problem], lines.datasets, 8, 8)
                small = {"batch_size": 4, "train_size": 4, "val_size": 4, "test_size": 4, "hold_out": True}
                settings |= {name: value for name, value in small.items() if name in settings}
                problem = parts_of({**line.declaration, "settings": settings}, arrays).problem
                found[key] = problem.network(torch.Generator())
    assert recon
    assert representation
    for network in recon.values():
        trace(network)
    for network in representation.values():
        assert isinstance(network, Trunk), type(network).__name__
