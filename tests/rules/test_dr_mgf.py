"""DR-MGF: the specification's numbers and invariances, isolation of the stages, and runs that were killed."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import build
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators
from gradsurgery.rules import dr_mgf
from gradsurgery.rules._mgf_epoch import Epoch
from gradsurgery.rules._mgf_fusion import gate, mixture, response, scan_points, scan_weight

LENET = {"network": {"name": "lenet", "variant": "cagrad"}}
OFFICIAL = [
    "shared_adam_state", "unweighted_meta_loss", "gate_first_call_only", "renormalise_private",
    "keep_buffers_between_tasks",
]  # fmt: skip
RULES = {
    "meta": {},
    "average": {"fusion": "average"},
    "meta-gf": {"fusion": "sigmoid", "gate": False, "gate_epochs": 0, "auxiliary": 0.1},
    "line-scan": {"aux_policy": "line_scan", "order": "reversed", "importance_lr": 0.01},
    "official": {"compat": OFFICIAL},
    "separate": {"compat": []},
}


def _parameters(learner):
    return {name: p.detach().clone() for name, p in learner.network.named_parameters()}


def _equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _saved(learner):
    buffer = io.BytesIO()
    torch.save(learner.state_dict(), buffer)
    return buffer.getvalue()


def _load(learner, state):
    learner.load_state_dict(torch.load(io.BytesIO(state)))
    return learner


class Exits(Network):
    """Three exits, one after each convolution: later convolutions are shared by fewer tasks, the last by none."""

    def __init__(self, num_tasks=3):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 if j == 0 else 3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
            for j in range(num_tasks)
        )
        self.heads = nn.ModuleList(nn.Linear(3, 4) for _ in range(num_tasks))

    def forward(self, inputs):
        outputs = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            inputs = stage(inputs)
            outputs.append(head(inputs.mean(dim=(2, 3))))
        return tuple(outputs)

    def shared_parameters(self):
        return [p for stage in self.stages[: max(1, len(self.stages) - 1)] for p in stage.parameters()]


class Repeated(Network):
    """One shared convolution that every task calls for itself, as MTAN does."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Conv2d(2, 3, 3, bias=False)
        self.heads = nn.ModuleList(nn.Linear(3, 4) for _ in range(2))

    def forward(self, inputs):
        return tuple(head(torch.relu(self.shared(inputs)).mean(dim=(2, 3))) for head in self.heads)

    def shared_parameters(self):
        return list(self.shared.parameters())


class Pull(Network):
    """One number, and two tasks whose losses pull it with constant slopes."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))

    def forward(self, inputs):
        return self.theta, self.theta

    def shared_parameters(self):
        return [self.theta]


class Pictures(Problem):
    """Random pictures of two channels with one label for all tasks."""

    def __init__(self, network, lr=0.1, epochs=4, momentum=0.0, clip=None, gamma=1.0):
        self._network, self._lr, self._momentum, self._gamma = network, lr, momentum, gamma
        self.tasks = tuple(f"t{k}" for k in range(len(network().heads)))
        self.metrics = {f"{task}.loss": False for task in self.tasks}
        self.epochs, self.clip = epochs, clip
        rng = np.random.default_rng(0)
        self._x = torch.from_numpy(rng.standard_normal((32, 2, 6, 6))).float()
        self._y = torch.from_numpy(rng.integers(0, 4, 32))

    def network(self, generator):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self._network()

    def optimizer(self, parameters):
        return torch.optim.SGD(parameters, lr=self._lr, momentum=self._momentum)

    def scheduler(self, optimizer):
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, self._gamma)

    def batches(self, order, augmentation):
        for rows in np.split(order.permutation(32), 2):
            yield self._x[rows], self._y[rows]

    def losses(self, network, batch):
        x, y = batch
        return [cross_entropy(output, y) for output in network(x)]

    def evaluate(self, network, split):
        return Evaluation(
            {t: float(loss) for t, loss in zip(self.metrics, self.losses(network, (self._x, self._y)), strict=True)}
        )


class Slopes(Problem):
    """`Pull` with the losses -theta and 3 theta, a batch an epoch."""

    tasks = ("down", "up")
    metrics = {"down.loss": False, "up.loss": False}  # noqa: RUF012
    epochs = 2
    clip = None

    def network(self, generator):
        return Pull()

    def optimizer(self, parameters):
        return torch.optim.SGD(parameters, lr=0.1)

    def scheduler(self, optimizer):
        return None

    def batches(self, order, augmentation):
        yield torch.zeros(1)

    def losses(self, network, batch):
        down, up = network(batch)
        return [-down.sum(), 3.0 * up.sum()]

    def evaluate(self, network, split):
        return Evaluation({"down.loss": 0.0, "up.loss": 0.0})


def _learner(problem, aggregator="sum", balancer=None, **rule):
    generators = Generators(0)
    network = problem.network(generators.init)
    fields = dict(balancer or {"name": "equal"})
    return Learner(
        problem, network, build("rules", "dr_mgf", **rule), build("balancers", fields.pop("name"), **fields),
        build("aggregators", aggregator), generators,
    )  # fmt: skip


def _work(learner):
    """The learner's epoch, opened up: what its stages share, and its first batches."""
    batches = list(learner.problem.batches(learner.generators.order, learner.generators.augmentation))
    learner.network.train()
    if not learner.rule_state:
        learner.rule_state = dr_mgf.begin(learner.rule, learner, batches[0])
    return Epoch(learner.rule, learner), batches


# --- whole epochs


@pytest.mark.parametrize(("auxiliary", "end"), [(0.5, -0.15), (0.0, -0.1), (1.0, -0.2)])
@pytest.mark.parametrize("fusion", ["average", "sigmoid"])
def test_one_plain_step_per_stage_is_joint_training_scaled(auxiliary, end, fusion):
    """mean Delta = -eta (1 + a (T-1)) / T * sum g, with g = (-1, 3) and eta = 0.1."""
    learner = _learner(Slopes(), fusion=fusion, auxiliary=auxiliary, meta_lr=1e-12)
    work, batches = _work(learner)
    list(work.disentangle(0, iter(batches)))
    list(work.disentangle(1, iter(batches)))
    assert work.changes["theta"][0].item() == pytest.approx(-0.1 * (-1.0 + 3.0 * auxiliary))
    assert work.changes["theta"][1].item() == pytest.approx(-0.1 * (3.0 - auxiliary))
    list(work.fuse(iter(batches)))
    assert learner.network.theta.item() == pytest.approx(end)


def test_a_factor_scales_how_much_a_tasks_loss_helps_the_others():
    learner = _learner(Slopes(), auxiliary=0.5, auxiliary_factors=[0.2, 0.6])
    work, batches = _work(learner)
    assert work.auxiliary.tolist() == [[1.0, 0.3], [0.1, 1.0]]  # row t, column s: f_s a
    list(work.disentangle(0, iter(batches)))
    list(work.disentangle(1, iter(batches)))
    assert work.changes["theta"][0].item() == pytest.approx(-0.1 * (-1.0 + 0.3 * 3.0))
    assert work.changes["theta"][1].item() == pytest.approx(-0.1 * (3.0 - 0.1))
    with pytest.raises(ValueError, match="`auxiliary_factors` must hold one number for each of 2 tasks, found 3"):
        _learner(Slopes(), auxiliary_factors=[1.0, 1.0, 1.0]).epoch()


def test_a_factor_scales_what_a_line_scan_finds():
    found = []
    for factors in (None, [0.5, 1.0, 2.0]):
        learner = _learner(Pictures(Exits), aux_policy="line_scan", auxiliary=0.4)
        _ran(learner, 1)
        if factors:
            object.__setattr__(learner.rule, "auxiliary_factors", tuple(factors))
        work, batches = _work(learner)
        work.scan(batches[0])
        found.append(work.auxiliary)
    assert found[0][~np.eye(3, dtype=bool)].max() > 0.0
    np.testing.assert_allclose(found[1], np.where(np.eye(3, dtype=bool), 1.0, found[0] * [0.5, 1.0, 2.0]))


def test_with_full_auxiliary_weight_the_stages_agree_and_the_fusion_does_not_matter():
    ends = []
    for fusion in ("meta", "average", "sigmoid"):
        learner = _learner(Slopes(), fusion=fusion, auxiliary=1.0)
        learner.epoch()
        ends.append(learner.network.theta.item())
    assert ends == pytest.approx([-0.2] * 3)


def test_the_aggregators_constant_multiplies_the_stage_loss():
    ends = []
    for aggregator in ("sum", "mean"):
        learner = _learner(Slopes(), aggregator, auxiliary=1.0)
        learner.epoch()
        ends.append(learner.network.theta.item())
    assert ends[1] == pytest.approx(ends[0] / 2)


def test_the_balancer_weights_the_stages_and_on_request_the_fusion():
    weighted = {"name": "static", "weights": [1.0, 10.0]}
    learner = _learner(Slopes(), balancer=weighted, auxiliary=0.5)
    work, batches = _work(learner)
    list(work.disentangle(0, iter(batches)))
    # `static` scales its weights to a sum of 2.
    assert work.changes["theta"][0].item() == pytest.approx(-0.1 * (-2.0 + 0.5 * 3.0 * 20.0) / 11.0)
    plain = _learner(Pictures(Exits), balancer={"name": "static", "weights": [0.1, 1.0, 5.0]})
    other = _learner(Pictures(Exits), balancer={"name": "static", "weights": [0.1, 1.0, 5.0]},
                     compat=("shared_adam_state",))  # fmt: skip
    for one in (plain, other):
        one.epoch()
    assert plain.epochs[0]["train.t0.stage_loss"] == other.epochs[0]["train.t0.stage_loss"]
    assert not _equal(plain.rule_state["scale"], other.rule_state["scale"])


def test_owners_of_a_network_with_exits():
    learner = _learner(Pictures(Exits))
    buffers = {n: b.clone() for n, b in learner.network.named_buffers()}
    _work(learner)
    assert _equal(dict(learner.network.named_buffers()), buffers)
    assert all(p.grad is None for p in learner.network.parameters())
    found = learner.rule_state["owners"]
    assert found["stages.0.0.weight"] == (0, 1, 2)
    assert found["stages.1.1.bias"] == (1, 2)
    assert found["stages.2.0.weight"] == (2,)
    assert found["heads.1.weight"] == (1,)
    importance, scale = learner.rule_state["importance"], learner.rule_state["scale"]
    assert {name: tuple(v.shape) for name, v in importance.items()} == {
        "stages.0.0.weight": (3, 3, 2),
        "stages.1.0.weight": (2, 3, 3),
    }
    torch.testing.assert_close(importance["stages.1.0.weight"][1], learner.network.stages[1][0].weight.norm(dim=(2, 3)))
    assert {name: tuple(s.shape) for name, s in scale.items() if s.ndim == 2} == {
        f"stages.{j}.1.{part}": (3 - j, 3) for j in (0, 1) for part in ("weight", "bias")
    }
    assert all((s == 1e-3).all() for s in scale.values())


def test_meta_gf_starts_from_the_plain_mean():
    learner = _learner(Pictures(Exits), fusion="sigmoid")
    work, _ = _work(learner)
    assert all((s == 0.0).all() for s in work.scale.values())
    assert (work._shares("stages.1.0.weight") == 0.5).all()


@pytest.mark.parametrize("gated", [True, False])
def test_stages_are_isolated_to_the_bit(gated):
    learner = _learner(Pictures(Exits, momentum=0.9), gate=gated)
    work, batches = _work(learner)
    theta, buffers = _parameters(learner), {n: b.clone() for n, b in learner.network.named_buffers()}
    importance = {n: v.detach().clone() for n, v in work.importance.items()}
    for t in (0, 1, 2):
        list(work.disentangle(t, iter(batches)))
        assert _equal(_parameters(learner), theta)
        assert _equal(dict(learner.network.named_buffers()), buffers)
        assert all(p.grad is None for p in learner.network.parameters())
        assert all(v.grad is None for v in work.importance.values())
    # Delta_t exists where t takes part, and only there; what belongs to one task is taken over once, from its stage.
    assert set(work.changes["stages.0.0.weight"]) == {0, 1, 2}
    assert set(work.changes["stages.1.0.weight"]) == {1, 2}
    assert set(work.taken) == {n for n, tasks in work.owners.items() if len(tasks) == 1}
    assert not torch.equal(work.statistics[0]["stages.0.1.running_mean"], buffers["stages.0.1.running_mean"])
    assert all(torch.equal(v, importance[n]) != gated for n, v in work.importance.items())


def test_the_fusion_changes_scales_only_until_it_writes_back():
    learner = _learner(Pictures(Exits))
    work, batches = _work(learner)
    for t in (0, 1, 2):
        list(work.disentangle(t, iter(batches)))
    theta = _parameters(learner)
    kept = copy.deepcopy((work.changes, work.taken, {n: v.detach() for n, v in work.importance.items()}))
    scale = {n: s.detach().clone() for n, s in work.scale.items()}
    steps = work.fuse(iter(batches))
    for _ in batches:
        next(steps)
        assert _equal(_parameters(learner), theta)
        if learner.step_count == 7:  # Adam's first step is its rate, in whichever direction, so 1e-3 hardly matters
            first = torch.cat([s.detach().flatten() for s in work.scale.values()])
            assert (((first - 0.101).abs() < 1e-3) | ((first + 0.099).abs() < 1e-3)).float().mean() > 0.9
    assert next(steps, None) is None
    changes, taken, importance = kept
    assert all(_equal(changes[n], work.changes[n]) for n in changes)
    assert _equal(taken, work.taken)
    assert _equal(importance, {n: v.detach() for n, v in work.importance.items()})
    assert all(not torch.equal(s, scale[n]) for n, s in work.scale.items())
    # What was written back is theta' with the last scales; private parameters are those of their stage, to the bit.
    after = _parameters(learner)
    assert _equal({n: after[n] for n in taken}, taken)
    assert _equal(after, {n: v.detach() for n, v in work.theta().items()})


def test_a_shared_bias_moves_by_the_mean():
    learner = _learner(Pictures(Exits))
    work, batches = _work(learner)
    for t in (2, 1, 0):
        list(work.disentangle(t, iter(batches)))
    for name in ("stages.0.0.bias", "stages.1.0.bias"):
        assert name not in work.scale
        changes = torch.stack(list(work.changes[name].values()))
        torch.testing.assert_close(work.theta()[name], work.old[name] + changes.mean(dim=0))


def test_while_gated_the_snapshot_is_gated():
    learner = _learner(Pictures(Exits))
    work, batches = _work(learner)
    list(work.disentangle(1, iter(batches)))
    name = "stages.1.0.weight"
    lengths = (work.old[name] + work.changes[name][1]).norm(dim=(2, 3))
    torch.testing.assert_close(lengths, gate(work.importance[name].detach(), 0, 10.0))
    # A task that does not own a kernel still runs through it, for its auxiliary losses, at the mean of the owners.
    torch.testing.assert_close(
        work._gated(0)[name].norm(dim=(2, 3)), response(work.importance[name].detach()).mean(dim=0)
    )
    # Private kernels are as they were trained unless the quirk is on, which gives them their first length back.
    start = _parameters(learner)["stages.2.0.weight"]
    list(work.disentangle(2, iter(batches)))
    taken = {False: work.taken["stages.2.0.weight"]}
    quirk = _learner(Pictures(Exits), compat=OFFICIAL)
    work, batches = _work(quirk)
    list(work.disentangle(2, iter(batches)))
    taken[True] = work.taken["stages.2.0.weight"]
    first = response(start.norm(dim=(2, 3))[None])[0]
    torch.testing.assert_close(taken[True].norm(dim=(2, 3)), first)
    assert not torch.allclose(taken[False].norm(dim=(2, 3)), first)
    # ... which ends with the gate.
    work, batches = _work(_learner(Pictures(Exits), compat=OFFICIAL, gate_epochs=0))
    list(work.disentangle(2, iter(batches)))
    assert not torch.allclose(work.taken["stages.2.0.weight"].norm(dim=(2, 3)), first)


@pytest.mark.parametrize("gate_epochs", [0, 1, 3])
def test_the_gate_ends_and_the_average_begins(gate_epochs):
    learner = _learner(Pictures(Exits), gate_epochs=gate_epochs)
    for number in range(3):
        before = copy.deepcopy(learner.rule_state)
        work, batches = _work(learner)
        before = before or copy.deepcopy(learner.rule_state)
        for t in range(3):
            list(work.disentangle(t, iter(batches)))
        list(work.fuse(iter(batches)))
        end = {n: s.detach().clone() for n, s in work.scale.items()}
        work.finish()
        after = learner.rule_state
        assert work.gated == (number < gate_epochs)
        assert _equal(after["importance"], before["importance"]) != work.gated
        for name, s in after["scale"].items():
            expected = end[name] if work.gated else 0.1 * end[name] + 0.9 * before["scale"][name]
            torch.testing.assert_close(s, expected)
        learner.epochs.append({})


def test_the_gate_ends_halfway_by_default():
    learner = _learner(Pictures(Exits, epochs=5))
    for _ in range(3):
        learner.epoch()
    assert [row["method.gated"] for row in learner.diagnostics] == [1.0, 1.0, 0.0]
    assert all(row["method.gated"] == 0.0 for row in _ran(_learner(Pictures(Exits), gate=False), 1).diagnostics)


def _ran(learner, epochs):
    for _ in range(epochs):
        learner.epoch()
    return learner


def test_one_task_ends_where_its_stage_ends():
    def single():
        return Exits(1)

    learner = _learner(Pictures(single, momentum=0.9))
    plain = _learner(Pictures(single, momentum=0.9))
    learner.epoch()
    plain.network.train()
    for batch in plain.problem.batches(plain.generators.order, plain.generators.augmentation):
        plain.optimizer.zero_grad()
        plain.problem.losses(plain.network, batch)[0].backward()
        plain.optimizer.step()
    assert _equal(_parameters(learner), _parameters(plain))


def test_the_optimiser_state_goes_through_all_stages_or_is_each_tasks_own():
    shared, separate = (
        _learner(Pictures(Exits, momentum=0.9), gate=False, compat=compat)
        for compat in (("shared_adam_state", "unweighted_meta_loss"), ("unweighted_meta_loss",))
    )
    changes = []
    for learner in (shared, separate):
        work, batches = _work(learner)
        list(work.disentangle(0, iter(batches)))
        list(work.disentangle(1, iter(batches)))
        changes.append(work.changes["stages.0.0.weight"])
    assert torch.equal(changes[0][0], changes[1][0])
    assert not torch.allclose(changes[0][1], changes[1][1])
    # The same stage 1 of task 1 without any before it:
    alone = _learner(Pictures(Exits, momentum=0.9), gate=False)
    work, batches = _work(alone)
    list(work.disentangle(1, iter(batches)))
    assert torch.equal(work.changes["stages.0.0.weight"][1], changes[1][1])
    # ... and in the second epoch the task goes on with its own.
    kept = separate.rule_state["task_optimizers"]
    assert kept[0] and kept[1] and not kept[2]  # noqa: PT018
    work, batches = _work(separate)
    work._use_optimizer_of(0)
    index = separate.optimizer.state_dict()["state"]
    assert torch.equal(index[0]["momentum_buffer"], kept[0][0]["momentum_buffer"])


def test_buffers_between_stages_can_be_kept():
    learner = _learner(Pictures(Exits), compat=OFFICIAL)
    work, batches = _work(learner)
    for t in (0, 1):
        list(work.disentangle(t, iter(batches)))
    assert int(learner.network.stages[0][1].num_batches_tracked) == 2 * len(batches)


def test_statistics_are_fused_over_their_tasks():
    learner = _learner(Pictures(Exits))
    work, batches = _work(learner)
    for t in range(3):
        list(work.disentangle(t, iter(batches)))
    list(work.fuse(iter(())))
    for j, tasks in enumerate(((0, 1, 2), (1, 2), (2,))):
        norm = learner.network.stages[j][1]
        expected = mixture(*(
            [work.statistics[t][f"stages.{j}.1.{part}"] for t in tasks] for part in ("running_mean", "running_var")
        ))  # fmt: skip
        torch.testing.assert_close((norm.running_mean, norm.running_var), expected)
        assert int(norm.num_batches_tracked) == len(batches)  # other buffers are those of the last stage


def test_every_call_of_a_shared_convolution_is_gated_unless_the_quirk_is_on():
    seen = []
    for compat in (("shared_adam_state",), ("shared_adam_state", "gate_first_call_only")):
        learner = _learner(Pictures(Repeated), compat=compat)
        work, batches = _work(learner)
        weights = []
        handle = learner.network.shared.register_forward_hook(
            lambda module, *_, weights=weights: weights.append(module.weight.detach().clone()), prepend=True
        )
        work._losses(batches[0], work._gated(0))
        handle.remove()
        raw = work.old["shared.weight"]
        seen.append([torch.equal(weight, raw) for weight in weights])
        assert learner.network.shared.weight is work.parameters["shared.weight"]
        assert not learner.network.shared._forward_hooks
    assert seen == [[False, False], [False, True]]


def test_line_scan_weights_come_from_the_changes_of_the_epoch_before():
    learner = _learner(Pictures(Exits), aux_policy="line_scan", auxiliary=0.4)
    work, batches = _work(learner)
    work.scan(batches[0])
    assert work.auxiliary.tolist() == [[1.0, 0.4, 0.4], [0.4, 1.0, 0.4], [0.4, 0.4, 1.0]]
    _ran(learner, 1)
    directions = learner.rule_state["directions"]
    assert "stages.1.0.weight" in directions[1]
    assert "stages.1.0.weight" not in directions[0]
    buffers = {n: b.clone() for n, b in learner.network.named_buffers()}
    work, batches = _work(learner)
    work.scan(batches[0])
    assert _equal(dict(learner.network.named_buffers()), buffers)
    assert (work.auxiliary.diagonal() == 1.0).all()
    t, s = 2, 0
    losses = []
    for r in scan_points(0.4):
        other = copy.deepcopy(learner.network)
        with torch.no_grad():
            for name, p in other.named_parameters():
                if name in directions[s]:
                    p.add_(r * directions[s][name])
            losses.append(float(learner.problem.losses(other, batches[0])[t]))
    assert work.auxiliary[t, s] == pytest.approx(scan_weight(np.array(losses), 0.4))


def test_rates_follow_the_schedule():
    learner = _learner(Pictures(Exits, gamma=0.5), importance_lr=0.02)
    _ran(learner, 2)
    work, _ = _work(learner)
    assert work.step_scale.param_groups[0]["lr"] == pytest.approx(0.025)
    assert work.step_importance.param_groups[0]["lr"] == pytest.approx(0.005)
    own = _ran(_learner(Pictures(Exits, gamma=0.5)), 2)
    work, _ = _work(own)
    assert work.step_importance.param_groups[0]["lr"] == pytest.approx(0.025)


def test_moments_of_scales_and_importance_last_from_epoch_to_epoch():
    learner = _ran(_learner(Pictures(Exits, epochs=4)), 3)
    state = learner.rule_state
    assert int(state["scale_optimizer"]["state"][0]["step"]) == 3 * 2
    assert int(state["importance_optimizer"]["state"][0]["step"]) == 2 * 3 * 2  # two gated epochs, three stages each


def test_passes_are_counted():
    learner = _ran(_learner(Pictures(Exits)), 1)
    assert learner.step_count == 2 * (3 + 1)
    assert learner.backward_passes == 1
    assert len(learner.step_times) == 8
    assert _ran(_learner(Pictures(Exits), fusion="average"), 1).step_count == 2 * 3


def test_order_of_the_stages():
    for order, first in (("forward", "t0"), ("reversed", "t2")):
        seen = []
        learner = _learner(Pictures(Exits), order=order)
        learner.epoch(seen.append)
        assert list(seen[0]) == [f"train.{first}.stage_loss"]
        assert list(seen[-1]) == ["train.t0.loss", "train.t1.loss", "train.t2.loss"]
        assert len(seen) == 8


def test_a_step_that_is_not_finite_is_left_out():
    class Broken(Pictures):
        def losses(self, network, batch):
            losses = super().losses(network, batch)
            return [loss * float("nan") if bool((batch[1] == batch[1][0]).sum() > 4) else loss for loss in losses]

    learner = _learner(Broken(Exits))
    learner.epoch()
    assert learner.skipped_steps > 0
    assert all(torch.isfinite(p).all() for p in learner.network.parameters())
    assert all(torch.isfinite(s).all() for s in learner.rule_state["scale"].values())


def test_the_clip_holds_for_the_stages():
    learner = _learner(Pictures(Exits, lr=1.0, clip=1e-3), gate=False)
    work, batches = _work(learner)
    list(work.disentangle(2, iter(batches)))
    moved = sum(float(work._change(n, 2).square().sum()) for n, tasks in work.owners.items() if 2 in tasks)
    assert 0.0 < moved**0.5 <= len(batches) * 1e-3 * (1 + 1e-4)


# --- in a run of the house


@pytest.mark.parametrize("rule", RULES)
def test_a_killed_run_ends_as_an_uninterrupted_one(make, rule):
    slot = {"name": "dr_mgf", "gate_epochs": 2, **RULES[rule]}
    straight = _ran(make("sum", rule=slot, settings=LENET), 3)
    killed = _ran(make("sum", rule=slot, settings=LENET), 1)
    state = _saved(killed)
    killed.epoch()  # work that is lost
    resumed = _ran(_load(make("sum", rule=slot, settings=LENET), state), 2)
    assert resumed.epochs == straight.epochs
    assert resumed.diagnostics == straight.diagnostics
    assert resumed.step_count == straight.step_count
    assert _equal(_parameters(resumed), _parameters(straight))
    assert _equal(resumed.rule_state["scale"], straight.rule_state["scale"])


def test_a_network_without_kernels_or_statistics(make):
    learner = _ran(make("mean", rule="dr_mgf"), 2)
    assert learner.rule_state["importance"] == {}
    assert {s.ndim for s in learner.rule_state["scale"].values()} == {3}
    row = learner.epochs[-1]
    assert {"train.left.loss", "train.left.stage_loss", "val.right.accuracy"} <= row.keys()


@pytest.mark.parametrize(
    "network",
    [
        {"name": "sdn_resnet", "channels": 1, "size": 36, "depth": 8, "width": 2},
        {"name": "msdnet", "channels": 1, "base": 2, "step": 1, "growth": 2, "width": 2, "scales": 2},
    ],
)
def test_networks_with_exits(make, network):
    learner = _ran(make("sum", rule={"name": "dr_mgf", "order": "reversed"}, settings={"network": network}), 1)
    shared = {id(p) for p in learner.network.shared_parameters()}
    found = learner.rule_state["owners"]
    assert {n for n, p in learner.network.named_parameters() if id(p) in shared} == {
        n for n, tasks in found.items() if tasks == (0, 1)
    }
    assert np.isfinite([learner.epochs[0]["train.left.loss"], learner.epochs[0]["val.right.loss"]]).all()


def test_it_learns(make):
    learner = make("sum", rule={"name": "dr_mgf", "importance_lr": 1e-3},
                   settings={**LENET, "epochs": 6, "lr": 0.05, "milestones": []})  # fmt: skip
    _ran(learner, 6)
    first, last = learner.epochs[0], learner.epochs[-1]
    assert last["train.left.loss"] < 0.8 * first["train.left.loss"]
    assert last["train.right.loss"] < 0.8 * first["train.right.loss"]


def test_what_a_diagnosed_epoch_holds(make):
    learner = _ran(make("sum", rule="dr_mgf", settings=LENET), 1)
    (row,) = learner.diagnostics
    assert row["step"] == learner.step_count == 12
    assert set(row) == {
        "step", "conflict_share", "mean_cosine", "magnitude_similarity", "deviation", "worst_alignment",
        "method.gated", "method.auxiliary", "method.importance_spread", "method.entropy",
        "method.dominated.left", "method.dominated.right",
    }  # fmt: skip
    assert 0.0 < row["method.entropy"] <= 1.0
    assert row["method.dominated.left"] + row["method.dominated.right"] == pytest.approx(1.0, abs=1e-2)
    average = _ran(make("sum", rule={"name": "dr_mgf", "fusion": "average"}, settings=LENET), 1).diagnostics[0]
    assert average["method.entropy"] == pytest.approx(1.0)
    assert average["deviation"] < 0.05  # the mean of the accumulated gradients, but for rounding


def test_a_balancer_with_parameters_trains_them_in_the_stages(make):
    learner = _ran(make("sum", "uncertainty", "dr_mgf", settings=LENET), 1)
    assert all(p.abs().sum() > 0 for p in learner.balancer_parameters.values())


def test_bfloat16_runs(make):
    learner = _ran(make("sum", rule="dr_mgf", settings=LENET, precision="bfloat16"), 1)
    assert np.isfinite(learner.epochs[0]["train.left.loss"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gate_epochs": -1}, "`gate_epochs` must be non-negative or null, found gate_epochs = -1"),
        ({"auxiliary": -0.1}, "`auxiliary` must be non-negative, found auxiliary = -0.1"),
        ({"auxiliary": float("nan")}, "`dr_mgf.auxiliary` must be a finite number"),
        ({"auxiliary_factors": [1.0, -0.5]}, "`auxiliary_factors` must be non-negative, found auxiliary_factors = "),
        ({"own_weight": 0.0}, "`own_weight` must be positive, found own_weight = 0.0"),
        ({"meta_lr": 0.0}, "`meta_lr` must be positive"),
        ({"importance_lr": -1.0}, "`importance_lr` must be positive"),
        ({"importance_weight_decay": -1.0}, "`importance_weight_decay` must be non-negative"),
        ({"ema": 1.5}, "`ema` must lie between 0 and 1, found ema = 1.5"),
        ({"fusion": "mean"}, "fusion` must be one of 'meta', 'average', 'sigmoid', found 'mean'"),
        ({"order": "random"}, "order` must be one of"),
        ({"aux_policy": "none"}, "aux_policy` must be one of"),
        ({"compat": ["all"]}, "compat` must be a list of one of"),
        ({"rho": 10.0}, "`dr_mgf.rho` is no field of dr_mgf"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        build("rules", "dr_mgf", **fields)


@pytest.mark.parametrize(
    "fields", [{"fusion": "mean"}, {"order": "random"}, {"aux_policy": "none"}, {"compat": ("x",)}]
)
def test_wrong_choices_are_refused_in_code_too(fields):
    rule = dr_mgf.DRMGF()
    for name, value in fields.items():  # past the type check that tests put around the constructor
        object.__setattr__(rule, name, value)
    with pytest.raises(ValueError, match=f"`{name}` must"):
        rule.__post_init__()


def test_what_makes_no_sense_is_refused_with_the_reason(make):
    with pytest.raises(ValueError, match=r"`aggregator` must be `sum` or `mean` under rule `dr_mgf`.*found PCGrad"):
        make("pcgrad", rule="dr_mgf").epoch()
    with pytest.raises(ValueError, match="`precision` must be float32 or bfloat16 under rule `dr_mgf`, found float16"):
        make("sum", rule="dr_mgf", precision="float16").epoch()
    with pytest.raises(ValueError, match=r"`balancer` must keep all 2 losses under rule `dr_mgf`.*found 1"):
        make("sum", {"name": "single_task", "task": 1}, "dr_mgf").epoch()
    empty = make("sum", rule="dr_mgf")
    with pytest.raises(ValueError, match="`batches` must hold at least one batch, found none"):
        list(empty.rule.epoch(empty, iter(())))
