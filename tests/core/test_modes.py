"""Other ways to the weights, against the engine that stores J."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradsurgery import GradientSurgery, available, build
from gradsurgery.core.interfaces import Weighting
from gradsurgery.core.quarters import quarter
from gradsurgery.core.segments import gram_of
from tests.core.rows import Rows, equal, finite, learner, trained

WEIGHTINGS = [name for name in available() if name != "torchjd" and isinstance(build(name), Weighting)]
MODES = [{"gradients": "two_pass"}, {"gradients": "representation"}, {"gradients": "sub_batch"}, {"keep_weights": 3}]


class Skips(nn.Module):
    """What is hard to cut: skips, tied weights, BatchNorm, channels_last, an early exit, a layer of one task alone."""

    def __init__(self, tasks=4):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3, padding=1).to(memory_format=torch.channels_last)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Tanh(), nn.Conv2d(6, 6, 3, padding=1))
            for _ in range(3)
        )
        self.wide, self.tied, self.alone = nn.Linear(6, 40), nn.Linear(40, 40), nn.Linear(40, 40)
        self.heads = nn.ModuleList(nn.Linear(40, 2) for _ in range(tasks - 1))
        self.exit = nn.Linear(6, 2)

    def shared(self):
        modules = (self.stem, self.blocks, self.wide, self.tied, self.alone)
        return [p for module in modules for p in module.parameters()]

    def forward(self, x):
        """The representation, and the losses; the first task leaves early, the second has a layer for itself."""
        h = self.stem(x)
        for i, block in enumerate(self.blocks):
            h = h + block(h)
            if i == 0:
                early = self.exit(h.mean((2, 3)))
        z = self.tied(self.tied(self.wide(h.mean((2, 3)))).tanh())
        inputs = [z + self.alone(z).tanh(), *[z] * (len(self.heads) - 1)]
        outputs = [early, *(head(own) for head, own in zip(self.heads, inputs, strict=True))]
        return z, [(output - (-1.0) ** k).square().mean() * 10**k for k, output in enumerate(outputs)]


class Plain(nn.Module):
    """A trunk that all tasks read the output of, so that the representation is all there is between."""

    def __init__(self, tasks=3):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(6, 1) for _ in range(tasks))

    def forward(self, x):
        z = self.trunk(x)
        return z, [(head(z) - (-1.0) ** k).square().mean() * 10**k for k, head in enumerate(self.heads)]


@pytest.fixture
def x():
    return torch.randn(16, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pictures():
    return torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(1))


def gradients(network):
    return torch.cat(
        [torch.zeros_like(p).reshape(-1) if p.grad is None else p.grad.reshape(-1) for p in network.parameters()]
    )


def step(engine, network, x, part=None, absent=(), **more):
    """One call of the engine, in the way that its mode asks for."""
    network.zero_grad()
    if engine.mode is not None and engine.mode.gradients == "sub_batch" and engine.mode.due:
        losses = network(x[: part or len(x)])[1]
        engine.weigh([None if k in absent else loss for k, loss in enumerate(losses)])
    z, losses = network(x)
    scale = more.get("scale", 1.0)
    return engine.backward(
        [None if k in absent else loss * scale for k, loss in enumerate(losses)], representation=z, **more
    )


def pair(kind, name="cagrad", **options):
    """Two equal networks with engines: J stored, and as the options say."""
    networks = kind(), kind()
    engines = [
        GradientSurgery(
            network.trunk.parameters() if hasattr(network, "trunk") else network.shared(), build(name), seed=3, **own
        )
        for network, own in zip(networks, ({}, options), strict=True)
    ]
    return networks, engines


def far(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_two_passes_are_the_stored_gradients(name, pictures):
    networks, engines = pair(Skips, name, gradients="two_pass")
    for _ in range(3):
        for network, engine in zip(networks, engines, strict=True):
            assert step(engine, network, pictures)
        np.testing.assert_allclose(engines[1].gram, engines[0].gram, rtol=1e-5, atol=2e-6 * engines[0].gram.max())
        assert far(gradients(networks[1]), gradients(networks[0])) < 2e-6
    assert engines[1].mode.gradients == "two_pass"
    with pytest.raises(RuntimeError, match="`jacobian` needs"):
        _ = engines[1].jacobian


def test_the_stretches_are_many_and_small(pictures):
    """Else two passes would be right, and save nothing."""
    network = Skips()
    losses = network(pictures)[1]
    sizes = []
    real = torch.Tensor.new_zeros

    def spy(self, size):
        sizes.append(size)
        return real(self, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "new_zeros", spy)
        gram_of(losses, network.shared())
    P = sum(p.numel() for p in network.shared())
    assert sum(columns for _, columns in sizes) == P
    assert max(columns for _, columns in sizes) < 0.5 * P  # `tied` alone is a third of it, `alone` another
    assert all(rows == 4 for rows, _ in sizes)


@pytest.mark.parametrize("options", MODES)
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_every_mode_takes_the_weighted_sum_of_the_task_gradients(name, options, x):
    """d = J^T w for its own w, the heads' gradients are those of the plain sum, and G is that of the whole batch."""
    networks, engines = pair(Plain, name, **options)
    for _ in range(4):
        for network, engine in zip(networks, engines, strict=True):
            assert step(engine, network, x, part=4, diagnose=True)
        d, J = engines[1].direction, engines[0].jacobian
        assert far(d, torch.from_numpy(engines[1].weights).float() @ J) < 2e-6
        np.testing.assert_allclose(engines[1].gram, engines[0].gram, rtol=1e-4)
        for a, b in zip(networks[1].heads.parameters(), networks[0].heads.parameters(), strict=True):
            assert far(a.grad, b.grad) < 2e-6


def test_weights_of_a_representation_are_those_of_its_gradients(x):
    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("mgda"), gradients="representation")
    z, losses = network(x)
    rows = torch.stack([torch.autograd.grad(loss, z, retain_graph=True)[0].reshape(-1) for loss in losses])
    w, _ = build("mgda")((rows @ rows.T).double().numpy(), None, np.random.default_rng(0))
    assert engine.backward(losses, representation=[z])
    np.testing.assert_allclose(engine.weights, w, rtol=1e-4)
    assert engine.gram is None


def test_weights_of_a_part_are_those_of_its_gradients(x):
    network = Plain()
    part = GradientSurgery(Plain().trunk.parameters(), build("mgda"))
    engine = GradientSurgery(network.trunk.parameters(), build("mgda"), gradients="sub_batch")
    other = Plain()
    part = GradientSurgery(other.trunk.parameters(), build("mgda"))
    part.backward(other(x[:4])[1])
    assert step(engine, network, x, part=4)
    np.testing.assert_allclose(engine.weights, part.weights, rtol=1e-6)
    assert engine.gram is None


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, [3, 3, 3, 3]),
        ({"gradients": "representation"}, [1, 1, 1, 1]),
        ({"gradients": "sub_batch"}, [4, 4, 4, 4]),
        ({"keep_weights": 3}, [4, 1, 1, 4]),
        ({"gradients": "representation", "keep_weights": 2}, [1, 1, 1, 1]),
        ({"gradients": "two_pass", "keep_weights": 2}, [4, 1, 4, 1]),
    ],
)
def test_passes_through_the_trunk(options, passes, x):
    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("pcgrad"), **options)
    seen = []

    def watch(output):
        output.register_hook(lambda _: seen.append(1))

    network.trunk[0].register_forward_hook(lambda _m, _i, output: watch(output))
    found = []
    for _ in passes:
        seen.clear()
        assert step(engine, network, x, part=4)
        found.append(len(seen))
    assert found == passes
    if engine.mode is not None:
        whole = passes if engine.mode.gradients != "sub_batch" else [1 + 3 / 4]
        assert engine.mode.passes(3) == pytest.approx(sum(whole[: engine.mode.keep_weights]) / engine.mode.keep_weights)


@pytest.mark.parametrize("gradients", ["stored", "two_pass", "representation", "sub_batch"])
def test_kept_weights_serve_n_steps_of_the_same_tasks(gradients, x):
    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("mgda"), gradients=gradients, keep_weights=3)
    weights, due = [], []
    for i, absent in enumerate([(), (), (), (), (1,), (1,), ()]):
        due.append(engine.mode.due)
        assert step(engine, network, x * (1 + i), absent=absent)
        weights.append(engine.weights)
    same = [np.array_equal(a, b) for a, b in itertools.pairwise(weights)]
    assert same == [True, True, False, False, True, False]
    assert due == [True, False, False, True, False, False, False]
    assert weights[4][1] == 0.0


@pytest.mark.parametrize("options", MODES)
def test_absent_tasks(options, pictures, x):
    """The others are served as if it did not exist; a part of the batch that has other tasks is not used."""
    data, kind = (pictures, Skips) if options.get("gradients") == "two_pass" else (x, Plain)
    networks, engines = pair(kind, "cagrad", **options)
    for absent in ((2,), (), (0, 2)):
        for network, engine in zip(networks, engines, strict=True):
            assert step(engine, network, data, absent=absent, diagnose=True)
        assert set(np.flatnonzero(engines[1].weights == 0.0)) >= set(absent)
        if options.get("gradients") != "representation":
            assert far(gradients(networks[1]), gradients(networks[0])) < 2e-6
    if options == {"gradients": "sub_batch"}:
        engines[1].weigh([loss if k else None for k, loss in enumerate(networks[1](data[:4])[1])])
        for network, engine in zip(networks, engines, strict=True):
            network.zero_grad()
            engine.backward(network(data)[1])
        np.testing.assert_allclose(engines[1].weights, engines[0].weights, rtol=1e-5)


@pytest.mark.parametrize("options", MODES)
def test_diagnosing_changes_no_bit_and_tells_the_angle(options, x):
    one, two = ((Plain(), {}), (Plain(), {"diagnose": True}))
    for network, more in (one, two):
        engine = GradientSurgery(network.trunk.parameters(), build("pcgrad"), **options)
        for i in range(3):
            assert step(engine, network, x * (1 + i), part=4, **more)
            assert (engine.mode.exact_cosine is not None) == bool(more)
    assert torch.equal(gradients(one[0]), gradients(two[0]))
    exact = Plain()
    stored = GradientSurgery(exact.trunk.parameters(), build("mgda"))
    engine = GradientSurgery(two[0].trunk.parameters(), build("mgda"), **options)
    for i in range(2):  # in the second step kept weights are old
        step(engine, two[0], x * (1 + i), part=4, diagnose=True)
        step(stored, exact, x * (1 + i))
        cosine = torch.cosine_similarity(engine.direction.double(), stored.direction.double(), dim=0)
        assert engine.mode.exact_cosine == pytest.approx(float(cosine), abs=1e-6)
    assert (engine.mode.exact_cosine > 1 - 1e-9) == (options == {"gradients": "two_pass"})


@pytest.mark.parametrize("options", [*MODES, {"gradients": "sub_batch", "keep_weights": 2}])
def test_resumed_to_the_bit(options, x):
    """The generator, the weights that are kept, and for how many steps."""

    def run(network, engine, steps):
        for i in steps:
            assert step(engine, network, x * (1 + i), part=4)
        return gradients(network)

    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("pcgrad"), seed=1, **options)
    run(network, engine, range(2))
    state = copy.deepcopy(engine.state_dict())
    expected = run(network, engine, range(2, 5))
    other = Plain()
    resumed = GradientSurgery(other.trunk.parameters(), build("pcgrad"), seed=2, **options)
    resumed.load_state_dict(state)
    assert torch.equal(run(other, resumed, range(2, 5)), expected)
    with pytest.raises(ValueError, match="found no mode in it"):
        resumed.load_state_dict({name: value for name, value in state.items() if name != "mode"})


def test_a_new_start_forgets_kept_weights(x):
    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("mgda"), keep_weights=9)
    step(engine, network, x)
    assert not engine.mode.due
    engine.state = None
    assert engine.mode.due


def test_the_defaults_are_the_engine_as_it_was(x):
    engine = GradientSurgery(Plain().trunk.parameters(), build("pcgrad"), gradients="stored", keep_weights=1)
    assert engine.mode is None
    assert set(engine.state_dict()) == {"of", "method", "generator", "skipped_steps"}


@pytest.mark.parametrize("options", MODES)
def test_scaled_losses(options, x):
    """Weights are those of the unscaled gradients, `.grad` is scaled: as with J stored."""
    networks = Plain(), Plain()
    for network, scale in zip(networks, (1.0, 1024.0), strict=True):
        engine = GradientSurgery(network.trunk.parameters(), build("cagrad"), **options)
        assert step(engine, network, x, diagnose=True, scale=scale)
    assert far(gradients(networks[1]) / 1024.0, gradients(networks[0])) < 2e-6


@pytest.mark.parametrize("options", MODES)
def test_a_step_that_is_not_finite_is_left_out(options, x):
    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("pcgrad"), **options)
    assert step(engine, network, x)
    before = engine.state_dict()
    bad = x.clone()
    bad[0] = torch.inf
    assert not step(engine, network, bad)
    assert network.trunk[0].weight.grad.isnan().all()
    assert engine.skipped_steps == 1
    after = engine.state_dict()
    assert after["method"] == before["method"]
    if "mode" in after:
        assert str(after["mode"]) == str(before["mode"])
    assert step(engine, network, x)
    assert network.trunk[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("options", MODES)
def test_gradients_add_to_what_is_there(options, x):
    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("mgda"), **options)
    step(engine, network, x)
    once = gradients(network)
    other = Plain()
    engine = GradientSurgery(other.trunk.parameters(), build("mgda"), **options)
    other.zero_grad()
    for p in other.parameters():
        p.grad = torch.ones_like(p)
    if engine.mode.gradients == "sub_batch":
        engine.weigh(other(x)[1])
    z, losses = other(x)
    engine.backward(losses, representation=z)
    assert far(gradients(other), once + 1.0) < 1e-6


def test_what_cannot_be_had_is_refused_in_one_sentence(x):
    network = Plain()
    trunk = list(network.trunk.parameters())
    z, losses = network(x)

    def made(name="pcgrad", **options):
        return GradientSurgery(trunk, build(name), **options)

    with pytest.raises(ValueError, match=r"`gradients` must be one of stored, two_pass, .* found 'twopass'"):
        made(gradients="twopass")
    with pytest.raises(ValueError, match="`keep_weights` must be a whole number from 1, found 0"):
        made(keep_weights=0)
    for name in ("sum", "sam_gs"):
        with pytest.raises(ValueError, match=r"`gradients` must be 'stored', not 'two_pass', with .* no Weighting"):
            made(name, gradients="two_pass")
        with pytest.raises(ValueError, match=r"`keep_weights` must be 1, not 4, with .* no Weighting"):
            made(name, keep_weights=4)
    engine = made(gradients="representation")
    for wrong in (None, [], torch.ones(3), "z"):
        with pytest.raises(ValueError, match="`representation` must be the tensor, or tensors"):
            engine.backward(losses, representation=wrong)
    with pytest.raises(ValueError, match="`representation` must be in the graph of `losses`"):
        engine.backward(losses, representation=network(x)[0])
    for other in (made(), engine):
        with pytest.raises(ValueError, match="`gradients` must be 'sub_batch' for `weigh`"):
            other.weigh(losses)
    engine.accumulate(losses, representation=z)
    with pytest.raises(ValueError, match="'stored', not 'representation', in a step of several micro-batches"):
        engine.accumulate(network(x)[1], representation=z)


def test_several_processes_are_refused(x, monkeypatch):
    network = Plain()
    engine = GradientSurgery(network.trunk.parameters(), build("pcgrad"), keep_weights=2)
    monkeypatch.setattr("gradsurgery.core.surgery.several", lambda: True)
    with pytest.raises(ValueError, match="`keep_weights` must be 1, not 2, where several processes train together"):
        engine.backward(network(x)[1])


def test_no_more_waits_than_a_stretch_has_columns(monkeypatch):
    """With large batches what waits would be more than J; nor do the gradients of all weights wait to the end."""
    waited = []
    real = torch.autograd.grad

    def spy(outputs, inputs, *more, **options):
        edges = [wanted for wanted in inputs if isinstance(wanted, torch.autograd.graph.GradientEdge)]
        waited.append(sum(np.prod(edge.node._input_metadata[edge.output_nr].shape) for edge in edges))
        return real(outputs, inputs, *more, **options)

    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(8, 8) for _ in range(12)))
    P = sum(p.numel() for p in layers.parameters())
    for rows in (2, 512):
        waited.clear()
        z = layers(torch.randn(rows, 8))
        losses = [z[:, 0].square().mean(), z[:, 1].square().mean()]
        with monkeypatch.context() as patch:
            patch.setattr(torch.autograd, "grad", spy)
            gram_of(losses, list(layers.parameters()))
        assert max(waited) <= P // 8
        cuts = sum(found > 0 for found in waited) // 3  # each with a look for hooks, and two tasks
        assert cuts >= 10 if rows == 2 else cuts <= 2


def test_a_hook_of_a_tensor_acts_once(x):
    """Where gradients wait a hook would be called twice; a layer that turns gradients round is such a one."""
    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(5, 5) for _ in range(8)))

    def losses():
        z = x
        for layer in layers:
            z = layer(z)
            z.register_hook(lambda g: -2.0 * g)
        return [z[:, 0].square().mean(), (z[:, 1] - 1.0).square().mean()]

    shared = list(layers.parameters())
    found = losses()
    rows = [torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, shared, retain_graph=True)]) for loss in found]
    J = torch.stack(rows).double()
    np.testing.assert_allclose(gram_of(losses(), shared), (J @ J.T).numpy(), rtol=1e-5)


def test_a_graph_of_checkpoints_custom_functions_and_leaves():
    """Recomputed layers, a loss that is a parameter, a loss that reaches nothing shared, a sparse gradient."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    torch.manual_seed(0)
    words, layer = nn.Embedding(7, 4, sparse=True), nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    scalar, own = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.ones(3))
    shared = [*words.parameters(), *layer.parameters(), scalar]
    z = checkpoint(layer, Twice.apply(words(torch.tensor([1, 2, 2, 5]))), use_reentrant=False)
    losses = [z.square().mean(), (z * scalar).sum(), scalar, own.sum()]
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        dense = [torch.zeros_like(p) if g is None else g.to_dense() for p, g in zip(shared, found, strict=True)]
        rows.append(torch.cat([g.reshape(-1) for g in dense]))
    J = torch.stack(rows).double()
    np.testing.assert_allclose(gram_of(losses, shared), (J @ J.T).numpy(), rtol=1e-5, atol=1e-9)


LEARNED = [*MODES, {"gradients": "two_pass", "keep_weights": 2}, {"gradients": "sub_batch", "keep_weights": 2}]


@pytest.mark.parametrize("options", [{"gradients": "two_pass"}, {"gradients": "stored", "keep_weights": 1}])
def test_a_learner_trains_as_with_j_stored(options):
    runs = learner("cagrad"), learner("cagrad", **options)
    for run in runs:
        for batch in run.problem.batches(None, None):
            run.step(batch)
    same = [torch.equal(a, b) for a, b in zip(*(run.network.parameters() for run in runs), strict=True)]
    assert all(same) == (options["gradients"] == "stored")
    for a, b in zip(*(run.network.parameters() for run in runs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)  # Adam divides tiny numbers by tiny numbers


@pytest.mark.parametrize("options", LEARNED)
@pytest.mark.parametrize("balancer", ["equal", "random_weights", "dwa"])
def test_watching_a_learner_changes_no_bit(options, balancer):
    runs = learner(balancer=balancer, **options), learner(balancer=balancer, **options, diagnose_every=1)
    for run in runs:
        for batch in run.problem.batches(None, None):
            run.step(batch)
    assert equal(*(trained(run) for run in runs))
    assert all(-1.0 <= row["exact_cosine"] <= 1.0 for row in runs[1].diagnostics)
    assert len(runs[1].diagnostics) == 4


@pytest.mark.parametrize("options", LEARNED)
def test_a_learner_resumed_to_the_bit(options):
    def steps(run, which):
        for i, batch in enumerate(run.problem.batches(None, None)):
            if i in which:
                run.step(batch)

    problem = Rows(missing=[(2, 1)])
    whole, first, second = (learner(problem=problem, diagnose_every=2, **options) for _ in range(3))
    steps(whole, range(4))
    steps(first, range(3))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(second, [3])
    assert equal(trained(whole), trained(second))
    assert whole.diagnostics == second.diagnostics
    assert finite(trained(whole))


def test_the_part_of_a_batch_leaves_no_trace():
    """Its statistics, and what the balancer remembers and draws, are those of the whole batch alone."""
    runs = [learner(balancer="random_weights", **own) for own in ({}, {"gradients": "sub_batch"})]
    batch = next(runs[0].problem.batches(None, None))
    for run in runs:
        run.step(batch)
    assert equal(*(dict(run.network.named_buffers()) for run in runs))
    assert equal(*(run.balancer_state for run in runs))
    assert runs[1].backward_passes == 1 + 3 / 4


def test_the_first_quarter_of_a_batch():
    batch = ({"x": torch.arange(9), "n": 9}, [torch.zeros(2, 3)])
    found = quarter(batch)
    assert found[0]["x"].tolist() == [0, 1, 2]
    assert found[0]["n"] == 9
    assert found[1][0].shape == (1, 3)


def test_the_representation_is_that_of_the_trunk():
    run = learner(gradients="representation", diagnose_every=1)
    for batch in run.problem.batches(None, None):
        run.step(batch)
        assert [tuple(z.shape) for z in run.representation] == [(6, 6)]
    with torch.no_grad():
        run.network(run.problem.x[0])
    assert len(run.representation) == 1  # what takes no gradient is not kept

    class Bare(Rows):
        def network(self, generator):
            network = super().network(generator)
            network.shared_parameters = lambda: list(network.body.parameters())
            network.body = network.trunk
            del network.trunk
            return network

    with pytest.raises(ValueError, match="'representation' for a network without a `trunk`, found Heads"):
        learner(problem=Bare(), gradients="representation")


def test_a_learner_of_the_defaults_says_nothing_of_it():
    run = learner(diagnose_every=1)
    run.step(next(run.problem.batches(None, None)))
    assert "exact_cosine" not in run.diagnostics[0]
    assert type(run.backward_passes) is int
    assert run.surgery.mode is None
