"""The settings of params.yaml that are an author's and not ours, at every scale: what they would check first."""

from pathlib import Path

import pytest

from pipelines._params import load
from pipelines._problems import SCALES
from pipelines.prepare import _alike

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="module", params=SCALES)
def lines(request):
    return load(PARAMS, request.param).experiments


def _with(lines, kind, name):
    found = [line for line in lines.values() if line.declaration.get(kind, {}).get("name") == name]
    assert found
    return found


def _on_data(lines):
    return [line for line in lines if line.declaration["module"] != "landscape"]


def test_sam_gs_has_on_data_the_papers_gamma_and_the_clip_of_its_trainers(lines):
    """Its gamma for landscapes, without the clip, cost it 3 to 4 points on every data set."""
    for line in _on_data(_with(lines, "aggregator", "sam_gs")):
        own = line.declaration["aggregator"]
        acted = line.declaration["module"] == "metaworld"  # the similarity of the agent's code, which does not clip
        many = acted or line.declaration["module"] in ("superclass", "yeast", "qm9", "celeba")  # as CelebA, MT10
        wanted = {"name": "sam_gs", "gamma": 0.9, "beta2": 0.99 if many else 0.9}
        agent = {"similarity": "mtrl", "scale_by_num_tasks": False, "max_norm": None}
        assert own == (wanted | agent if acted else wanted), line.name


def test_metaworld_has_at_scale_paper_the_schedule_of_mtrl():
    lines = {name: line for name, line in load(PARAMS, "paper").experiments.items() if line.problem == "metaworld"}
    others = {"multi_head": "heads", "task_encoder": "encoder", "one_each": "separate"}
    methods = {"sum", "torchjd-nash_mtl", "torchjd-aligned_mtl", "pcgrad", "cagrad-c0_9", "sam_gs", *others}
    assert {line.method for line in lines.values()} == methods
    for line in lines.values():
        said = line.declaration["settings"]
        assert len(line.seeds) == 10
        assert len(said["tasks"]) == 10
        assert said["batch_size"] * len(said["tasks"]) == 1280
        assert said["episodes"] * 150 == pytest.approx(10_000, rel=0.01)
        assert said["episodes"] * 150 * said["epochs"] == pytest.approx(2_000_000, rel=0.01)
        own = {"name": "task_actor_critic", "variant": others[line.method]} if line.method in others else None
        assert (said["lr"], said["every"], said["network"]) == (3e-4, 1, own or {"name": "actor_critic"})


def test_dwa_is_run_where_it_can_act(lines):
    """It weighs by the losses of the two epochs before: with fewer than three it is the sum."""
    for line in lines.values():
        if line.declaration.get("balancer", {}).get("name") == "dwa" and line.declaration["settings"]["epochs"] < 3:
            assert line.declaration["settings"]["train_size"], f"{line.name}: not at a scale that says something"
            assert line.declaration["settings"]["epochs"] == 1, "smoke only"


def test_recon_uses_the_c_of_its_paper(lines):
    cagrad = [line for line in _with(lines, "aggregator", "cagrad") if line.problem == "multi_fashion_mnist_resnet"]
    assert {line.declaration["aggregator"]["c"] for line in cagrad} == {0.2}
    assert {line.method for line in cagrad} >= {"cagrad-c0_2", "recon-cagrad-c0_2"}


def test_the_overlays_are_trained_on_the_networks_of_the_papers(lines):
    networks = {line.problem: line.declaration["settings"]["network"] for line in lines.values()}
    assert networks["multi_mnist"]["variant"] == "lenet", "PCGrad: the LeNet of Sener and Koltun"
    assert networks["multi_fashion_mnist"]["variant"] == "cagrad", "CAGrad, Figure 4"
    decays = {
        line.declaration["settings"]["weight_decay"] for line in lines.values() if line.problem == "multi_fashion_mnist"
    }
    assert decays == {0.01}


def test_equal_passes_are_those_of_dr_mgf(lines):
    for line in lines.values():
        if line.method.endswith("equal_passes"):
            assert line.declaration["settings"]["passes"] == line.declaration["settings"]["exits"] + 1, line.name


def test_claims_are_decided_on_seeds_that_nothing_was_chosen_on(lines):
    if next(iter(lines.values())).seeds[0] < 1000:
        pytest.skip("another scale than overnight")
    assert all(seed >= 1000 for line in lines.values() for seed in line.seeds)


def test_random_layers_have_as_many_draws_as_seeds_and_eight_at_least():
    line = load(PARAMS, "overnight").experiments["multi_fashion_mnist_resnet-recon-sum-random"]
    assert len(line.seeds) >= 8
    assert "seed" not in line.declaration["transform"], "every run draws its own"


def test_problems_of_the_same_arrays_build_them_once():
    params = load(PARAMS)
    groups = _alike(list(params.problems), params)
    assert sorted(name for group in groups for name in group) == sorted(params.problems)
    assert ["multi_fashion_mnist", "multi_fashion_mnist_resnet"] in groups
    for group in groups:
        assert len({tuple(sorted(params.problems[name].sha256.items())) for name in group}) == 1, group


def test_overlays_train_at_scale_paper_on_all_120000_pictures():
    """The papers hold none out; ours were 108,000. What is trained on chooses no epoch."""
    params = load(PARAMS, "paper")
    overlays = [line for line in params.experiments.values() if line.declaration["module"] == "overlay"]
    assert {line.problem for line in overlays} == {
        "multi_mnist", "multi_mnist_pcgrad", "multi_fashion", "multi_fashion_mnist", "multi_fashion_mnist_resnet",
    }  # fmt: skip
    for line in overlays:
        said = line.declaration["settings"]
        assert (said["hold_out"], said["train_size"]) == (False, 0), line.name
        assert params.problems[line.problem].selection == "last", line.name
