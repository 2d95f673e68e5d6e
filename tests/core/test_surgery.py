"""The engine against `torch.autograd.grad`, one promise at a time."""

import copy

import numpy as np
import pytest
import torch
import torch._functorch.config
from torch import nn

from gradsurgery import GradientSurgery, available, build
from gradsurgery.core.interfaces import Aggregator

METHODS = [name for name in available() if name not in ("torchjd", "single_task")]


class Twin(nn.Module):
    """A small network with what goes wrong: channels_last, BatchNorm, tied and frozen weights, a half-shared layer."""

    def __init__(self, tasks=2):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm2d(4)
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)
        self.tied = nn.Linear(4, 4)
        self.first_only = nn.Linear(4, 4)
        self.heads = nn.ModuleList(nn.Linear(4, 2) for _ in range(tasks))

    def shared(self):
        modules = (self.conv, self.norm, self.frozen, self.tied, self.tied, self.first_only)
        return [p for module in modules for p in module.parameters()]

    def losses(self, x):
        z = self.norm(self.conv(x)).relu().mean((2, 3))
        z = self.tied(self.frozen(self.tied(z)).tanh())
        inputs = [z + self.first_only(z), *[z] * (len(self.heads) - 1)]
        return [
            (head(z) - k).square().mean() * 10**k for k, (head, z) in enumerate(zip(self.heads, inputs, strict=True))
        ]


@pytest.fixture
def x():
    return torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(1))


def trainable(network):
    return list(dict.fromkeys(p for p in network.shared() if p.requires_grad))


def reference_jacobian(network, losses):
    rows = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, trainable(network), retain_graph=True, allow_unused=True)
        rows.append(
            [torch.zeros_like(p) if g is None else g for p, g in zip(trainable(network), gradients, strict=True)]
        )
    return rows


def written(network):
    return torch.cat([p.grad.reshape(-1) for p in trainable(network)])


def expected_direction(rows, weights):
    return torch.cat(
        [sum(w * row[i] for w, row in zip(weights, rows, strict=True)).reshape(-1) for i in range(len(rows[0]))]
    )


@pytest.mark.parametrize("name", ["sum", "mean", "pcgrad", "cagrad", "mgda"])
def test_direction_is_the_weighted_sum_of_task_gradients(name, x):
    network = Twin()
    other = copy.deepcopy(network)
    rows = reference_jacobian(other, other.losses(x))
    surgery = GradientSurgery(network.shared(), build(name))
    assert surgery.backward(network.losses(x))
    torch.testing.assert_close(written(network), expected_direction(rows, surgery.weights), rtol=1e-5, atol=1e-6)


def test_rows_views_and_gram_agree(x):
    network = Twin()
    other = copy.deepcopy(network)
    rows = reference_jacobian(other, other.losses(x))
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    surgery.backward(network.losses(x))
    P = sum(p.numel() for p in trainable(network))
    assert surgery.jacobian.shape == (2, P)
    assert surgery.direction.shape == (P,)
    exact = np.array([[sum((a * b).sum().item() for a, b in zip(r, s, strict=True)) for s in rows] for r in rows])
    np.testing.assert_allclose(surgery.gram, exact, rtol=1e-5)


def test_autograd_writes_straight_into_the_rows(x):
    """While task k is differentiated, `.grad` is row k's memory and stays so: nothing is copied."""
    network = Twin()
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    surgery.backward(network.losses(x))
    network.zero_grad()
    J, seen = surgery.jacobian, []
    parameter = network.conv.weight
    parameter.register_post_accumulate_grad_hook(lambda p: seen.append((p.grad.data_ptr(), p.grad.stride())))
    pointer = J.data_ptr()
    surgery.backward(network.losses(x))
    assert [address for address, _ in seen] == [J[0].data_ptr(), J[1].data_ptr()]
    assert all(stride == parameter.stride() for _, stride in seen)  # channels_last in, channels_last out
    assert surgery.jacobian.data_ptr() == pointer
    assert parameter.grad.data_ptr() == surgery.direction.data_ptr()


def test_a_parameter_that_a_task_does_not_reach_is_zero_in_its_row(x):
    network = Twin()
    surgery = GradientSurgery([*network.first_only.parameters(), *network.conv.parameters()], build("pcgrad"))
    for _ in range(2):  # also when the buffer held something before
        surgery.backward(network.losses(x))
        n = sum(p.numel() for p in network.first_only.parameters())
        assert surgery.jacobian[0, :n].abs().sum() > 0
        assert surgery.jacobian[1, :n].abs().sum() == 0


@pytest.mark.parametrize("name", ["sum", "mean", "cagrad"])
def test_heads_keep_exactly_their_own_gradient(name, x):
    network, plain = Twin(), Twin()
    for k, loss in enumerate(plain.losses(x)):
        gradients = torch.autograd.grad(loss, list(plain.heads[k].parameters()), retain_graph=True)
        for p, g in zip(plain.heads[k].parameters(), gradients, strict=True):
            p.grad = g
    GradientSurgery(network.shared(), build(name)).backward(network.losses(x))
    for a, b in zip(network.heads.parameters(), plain.heads.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_buffers_move_once_per_forward_pass(x):
    network, plain = Twin(), Twin()
    plain.losses(x)
    GradientSurgery(network.shared(), build("pcgrad")).backward(network.losses(x))
    assert torch.equal(network.norm.running_mean, plain.norm.running_mean)


def test_frozen_parameters_get_no_gradient_and_tied_ones_count_once(x):
    network = Twin()
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    surgery.backward(network.losses(x))
    assert all(p.grad is None for p in network.frozen.parameters())
    assert len(surgery.parameters) == len(trainable(network)) == 8


def test_the_graph_is_freed_on_the_last_task(x):
    network = Twin()
    losses = network.losses(x)
    GradientSurgery(network.shared(), build("pcgrad")).backward(losses)
    with pytest.raises(RuntimeError, match="second time"):
        losses[0].backward()


def test_several_parameter_groups_step_as_with_plain_gradients(x):
    network, plain = Twin(), Twin()
    for n in (network, plain):
        n.optimizer = torch.optim.SGD(
            [{"params": n.conv.parameters(), "lr": 0.1}, {"params": n.tied.parameters(), "lr": 0.01, "momentum": 0.9}],
            lr=1.0,
        )
    surgery = GradientSurgery(network.shared(), build("sum"))
    for _ in range(3):
        network.optimizer.zero_grad(set_to_none=False)
        surgery.backward(network.losses(x), diagnose=True)
        network.optimizer.step()
        plain.optimizer.zero_grad()
        sum(plain.losses(x)).backward()
        plain.optimizer.step()
    for a, b in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_one_task_is_left_alone(name, x):
    network = Twin(1)
    other = copy.deepcopy(network)
    (row,) = reference_jacobian(other, other.losses(x))
    # CAGrad's image default (rescale 1) lengthens a lone gradient by (1 + c) / (1 + c^2), by its formula.
    fields = {"sam_gs": {"max_norm": None}, "cagrad": {"rescale": 2}}.get(name, {})
    GradientSurgery(network.shared(), build(name, **fields)).backward(network.losses(x))
    torch.testing.assert_close(written(network), expected_direction([row], [1.0]), rtol=1e-5, atol=1e-7)


def test_tasks_may_come_from_different_batches(x):
    network = Twin()
    network.eval()
    first, second = network.losses(x[:2])[0], network.losses(x[2:])[1]
    surgery = GradientSurgery(network.shared(), build("sum"))
    surgery.backward([first, second], diagnose=True)
    expected = reference_jacobian(network, [network.losses(x[:2])[0], network.losses(x[2:])[1]])
    torch.testing.assert_close(written(network), expected_direction(expected, [1, 1]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_micro_batches_equal_the_joint_batch(name, x):
    network, joint = Twin().double().eval(), Twin().double().eval()
    x = x.double()
    a, b = GradientSurgery(network.shared(), build(name)), GradientSurgery(joint.shared(), build(name))
    for _ in range(2):
        for n in (network, joint):
            n.zero_grad(set_to_none=False)
        for part in x.split(2):
            a.accumulate([loss / 3 for loss in network.losses(part)])
        a.aggregate()
        b.backward(joint.losses(x))
        torch.testing.assert_close(written(network), written(joint), rtol=1e-10, atol=1e-12)
        for p, q in zip(network.heads.parameters(), joint.heads.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("diagnose", [False, True])
def test_a_task_may_sit_a_micro_batch_out(name, diagnose, x):
    network, joint = Twin().double().eval(), Twin().double().eval()
    parts = x.double().split(2)
    passes = []
    network.tied.weight.register_post_accumulate_grad_hook(lambda p: passes.append(1))
    a, b = GradientSurgery(network.shared(), build(name)), GradientSurgery(joint.shared(), build(name))
    for _ in range(2):  # the second step must not see the rows of the first
        for n in (network, joint):
            n.zero_grad()
        passes.clear()
        for owner, part in ((0, parts[0]), (1, parts[1])):
            losses = network.losses(part)
            a.accumulate([loss if k == owner else None for k, loss in enumerate(losses)], diagnose)
        a.aggregate()
        assert len(passes) == 2
        b.backward([joint.losses(parts[k])[k] for k in (0, 1)], diagnose=diagnose)
        torch.testing.assert_close(written(network), written(joint), rtol=1e-10, atol=1e-12)
        for p, q in zip(network.heads.parameters(), joint.heads.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-10, atol=1e-12)


def test_somebody_must_take_part(x):
    network = Twin()
    with pytest.raises(ValueError, match="`losses` must hold a loss of at least one task, found None only"):
        GradientSurgery(network.shared(), build("pcgrad")).accumulate([None, None])


def test_a_tensorwise_method_is_told_sizes_and_lengths_of_the_parameters(x):
    network = Twin().eval()
    lion = build("gcond", output="lion", max_iters=0, trust_coef=0.5)
    surgery = GradientSurgery(network.shared(), lion)
    for _ in range(2):
        network.zero_grad()
        with torch.no_grad():
            network.tied.weight.mul_(3.0)  # as an optimiser would: the norms are those of this step
        surgery.backward(network.losses(x))
        m = surgery.state["m"] / (1.0 - 0.9 ** surgery.state["t"])
        for p, part in zip(surgery.parameters, m.split([q.numel() for q in surgery.parameters]), strict=True):
            ratio = min(50.0, (p.norm() / part.norm()).item()) if p.norm() > 0 else 1.0
            expected = torch.full_like(part, 0.5 * ratio) * part.sign()
            torch.testing.assert_close(p.grad.flatten().abs().sort()[0], expected.abs().sort()[0], rtol=1e-4, atol=1e-8)
    assert not {"sizes", "norms"} & set(surgery.state)  # told anew at every step, never checkpointed
    assert surgery.state["t"] == 2


def test_zero_grad_between_micro_batches_does_not_wipe_the_rows(x):
    network = Twin().eval()
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    surgery.accumulate(network.losses(x))
    before = surgery.jacobian.clone()
    network.zero_grad(set_to_none=False)
    assert torch.equal(surgery.jacobian, before)


def test_scalarization_needs_one_pass_and_diagnosing_it_changes_nothing(x):
    network, diagnosed = Twin(), Twin()
    calls = []
    network.tied.weight.register_post_accumulate_grad_hook(lambda p: calls.append(1))
    one = GradientSurgery(network.shared(), build("mean"))
    one.backward(network.losses(x))
    many = GradientSurgery(diagnosed.shared(), build("mean"))
    many.backward(diagnosed.losses(x), diagnose=True)
    assert len(calls) == 1
    assert one.gram is None
    assert many.gram is not None
    torch.testing.assert_close(one.direction, many.direction, rtol=1e-5, atol=1e-7)
    with pytest.raises(RuntimeError, match="`jacobian` needs a backward pass per task first"):
        _ = one.jacobian


class Remember(Aggregator):
    """Records what it is shown; its direction is its state, the hardest case for in-place clipping."""

    def __init__(self):
        self.seen = []

    def __call__(self, J, state, generator):
        self.seen.append(J.clone())
        mean = J.mean(0) if state is None else 0.9 * state["m"] + J.mean(0)
        return mean, {"m": mean}


def test_a_stateful_method_sees_unscaled_gradients(x):
    plain, scaled = Twin().eval(), Twin().eval()
    a, b = Remember(), Remember()
    surgeries = GradientSurgery(plain.shared(), a), GradientSurgery(scaled.shared(), b)
    for scale in (2.0**16, 2.0**15):
        for n in (plain, scaled):
            n.zero_grad()
        surgeries[0].backward(plain.losses(x))
        surgeries[1].backward([loss * scale for loss in scaled.losses(x)], scale)
        assert torch.equal(a.seen[-1], b.seen[-1])
        assert torch.equal(surgeries[0].direction * scale, surgeries[1].direction)


@pytest.mark.parametrize("name", METHODS)
def test_loss_scale_leaves_every_method_where_it_was(name, x):
    plain, scaled = Twin().eval(), Twin().eval()
    a, b = GradientSurgery(plain.shared(), build(name)), GradientSurgery(scaled.shared(), build(name))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    optimizer = torch.optim.SGD(scaled.parameters(), lr=0.0)
    for _ in range(2):
        optimizer.zero_grad()
        plain.zero_grad()
        a.backward(plain.losses(x))
        assert b.backward(scaler.scale(scaled.losses(x)), scale=scaler.get_scale())
        scaler.unscale_(optimizer)
        torch.testing.assert_close(written(scaled), written(plain), rtol=1e-6, atol=0)
        scaler.step(optimizer)
        scaler.update()


def test_clipping_the_gradient_in_place_does_not_reach_the_state(x):
    network = Twin().eval()
    surgery = GradientSurgery(network.shared(), Remember())
    surgery.backward(network.losses(x))
    before = surgery.state["m"].clone()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1e-6)
    assert torch.equal(surgery.state["m"], before)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_skips_the_step(name, bad, x):
    network = Twin().eval()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    surgery = GradientSurgery(network.shared(), build(name))
    assert surgery.backward(network.losses(x))
    state, draws = copy.deepcopy(surgery.state), surgery.generator.bit_generator.state
    weights = [p.clone() for p in network.parameters()]
    optimizer.zero_grad()
    first, second = network.losses(x)
    finite = surgery.backward(scaler.scale([first, second * bad]), scale=scaler.get_scale())
    scaler.step(optimizer)
    scaler.update()
    assert not finite
    assert surgery.skipped_steps == 1
    assert scaler.get_scale() == 4.0
    assert all(torch.equal(p, w) for p, w in zip(network.parameters(), weights, strict=True))
    assert str(surgery.state) == str(state)
    assert str(surgery.generator.bit_generator.state) == str(draws)
    optimizer.zero_grad()
    assert surgery.backward(network.losses(x))
    assert written(network).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtype_of_the_parameters_is_the_dtype_of_J(dtype, x):
    network = Twin().to(dtype).eval()
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    assert surgery.backward(network.losses(x.to(dtype)))
    assert surgery.jacobian.dtype == surgery.direction.dtype == dtype


def test_autocast_gives_float32_gradients_near_the_exact_ones(x):
    network, plain = Twin().eval(), Twin().eval()
    with torch.autocast("cpu", torch.bfloat16):
        losses = network.losses(x)
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    assert surgery.backward([loss.float() for loss in losses])
    GradientSurgery(plain.shared(), build("pcgrad")).backward(plain.losses(x))
    assert surgery.jacobian.dtype == torch.float32
    assert torch.cosine_similarity(written(network), written(plain), dim=0) > 0.99


@pytest.mark.filterwarnings("ignore")  # torch.compile warns about its own internals
def test_compiled_trunks_may_be_differentiated_once_per_task(x):
    network, plain = Twin().eval(), Twin().eval()
    torch._functorch.config.donated_buffer = True
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    assert not torch._functorch.config.donated_buffer  # only inductor, which needs a compiler, donates them
    compiled = torch.compile(lambda v: tuple(network.losses(v)), backend="aot_eager")
    for _ in range(2):
        network.zero_grad()
        plain.zero_grad()
        assert surgery.backward(compiled(x))
        GradientSurgery(plain.shared(), build("pcgrad")).backward(plain.losses(x))
        torch.testing.assert_close(written(network), written(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_global_generators_are_not_touched(name, x):
    network = Twin(4)
    surgery = GradientSurgery(network.shared(), build(name))
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    surgery.backward(network.losses(x))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_engine_continues_to_the_bit(name, x):
    network = Twin(3).eval()
    straight = GradientSurgery(network.shared(), build(name), seed=3)
    straight.backward(network.losses(x))
    state = copy.deepcopy(straight.state_dict())
    straight.backward(network.losses(x * 2))
    expected = straight.direction.clone()
    resumed = GradientSurgery(network.shared(), build(name), seed=9)
    resumed.load_state_dict(state)
    resumed.backward(network.losses(x * 2))
    assert torch.equal(resumed.direction, expected)


def test_a_second_step_allocates_nothing_of_the_size_of_J():
    trunk = nn.Linear(100, 100)
    heads = nn.ModuleList(nn.Linear(100, 1) for _ in range(2))
    surgery = GradientSurgery(trunk.parameters(), build("pcgrad"))

    def step():
        trunk.zero_grad()
        z = trunk(torch.ones(1, 100))
        surgery.backward([head(z).sum() for head in heads])

    step()
    pointers = surgery.jacobian.data_ptr(), surgery.direction.data_ptr()
    step()
    assert (surgery.jacobian.data_ptr(), surgery.direction.data_ptr()) == pointers


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda n: GradientSurgery([], build("sum")), ValueError, "at least one trainable parameter, found none"),
        (lambda n: GradientSurgery(n.frozen.parameters(), build("sum")), ValueError, "at least one trainable"),
        (lambda n: GradientSurgery([n.conv.weight, n.tied.double().weight], build("sum")), ValueError, "one dtype"),
        (lambda n: GradientSurgery([nn.LazyLinear(2).weight], build("sum")), TypeError, "found UninitializedParameter"),
        (lambda n: GradientSurgery(n.shared(), build("sum"), seed=-1), ValueError, "`seed` must be non-negative"),
        (lambda n: GradientSurgery(n.shared(), build("sum")).aggregate(), RuntimeError, "`accumulate` first"),
        (lambda n: GradientSurgery(n.shared(), build("sum")).backward([]), ValueError, "at least one loss, found 0"),
        (
            lambda n: GradientSurgery(n.shared(), build("sum")).backward(
                [n.losses(torch.ones(1, 3, 5, 5))[0], torch.tensor(1.0)]
            ),
            ValueError,
            r"`losses\[1\]` must depend on a trainable parameter",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(make, error, message):
    with pytest.raises(error, match=message):
        make(Twin().eval())


def test_the_number_of_tasks_is_fixed_by_the_first_step(x):
    network = Twin(3)
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    surgery.backward(network.losses(x))
    with pytest.raises(ValueError, match="`losses` must hold 3 losses, as before, found 2"):
        surgery.backward(network.losses(x)[:2])


def test_an_interrupted_accumulation_is_not_aggregated(x):
    network = Twin()
    surgery = GradientSurgery(network.shared(), build("pcgrad"))
    losses = network.losses(x)
    sum(losses).backward()  # frees the graph, so that the next pass fails
    network.zero_grad()
    with pytest.raises(RuntimeError, match="second time"):
        surgery.accumulate(losses)
    with pytest.raises(RuntimeError, match="`accumulate` first"):
        surgery.aggregate()
    assert network.conv.weight.grad is None
