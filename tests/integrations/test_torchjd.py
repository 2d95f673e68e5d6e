"""torchjd's own objects behind our interface, and ours behind its."""

import numpy as np
import pytest
import torch

torchjd = pytest.importorskip("torchjd", reason="the extra `peers` is not installed")
from torchjd import aggregation  # noqa: E402
from torchjd.autojac import backward, jac_to_grad  # noqa: E402

from gradsurgery import GradientSurgery, aggregate, as_torchjd, build, from_torchjd  # noqa: E402
from gradsurgery.core.plain import from_plain, to_plain  # noqa: E402

J = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 1.0, 0.5], [0.3, -2.0, 0.1]])
# What stands behind a name in our own adapter, as an object that a user made.
OBJECTS = {
    "upgrad": aggregation.UPGrad(),
    "cagrad": aggregation.CAGrad(c=0.4),
    "pcgrad": aggregation.PCGrad(),
    "gradvac": aggregation.GradVac(),
    "nash_mtl": aggregation.NashMTL(n_tasks=3),
    "graddrop": aggregation.GradDrop(),
}
OPTIONS = {"cagrad": {"c": 0.4}}


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_gives_what_its_name_gives_over_several_steps(name):
    named, given = build("torchjd", method=name, options=OPTIONS.get(name, {})), from_torchjd(OBJECTS[name])
    states, generators = [None, None], [np.random.default_rng(0) for _ in range(2)]
    for step in range(3):
        found = []
        for i, method in enumerate((named, given)):
            if name not in ("gradvac", "pcgrad", "graddrop"):
                generators[i] = np.random.default_rng(step)
            d, states[i] = method((step + 1) * J, states[i], generators[i])
            found.append(d)
        torch.testing.assert_close(*found)


def test_torchs_own_generator_is_left_alone_and_ours_decides():
    method = build(aggregation.PCGrad())
    opposed = torch.tensor([[1.0, 0.0], [-2.0, 1.0], [-2.0, -1.0]])
    before = torch.get_rng_state()
    found = {tuple(method(opposed, None, np.random.default_rng(seed))[0].tolist()) for seed in [0, 0, *range(1, 20)]}
    assert torch.equal(torch.get_rng_state(), before)
    assert 1 < len(found) < 20


def test_memory_goes_through_a_checkpoint():
    method = from_torchjd(aggregation.GradVac())
    generator = np.random.default_rng(0)
    _, state = method(J, None, generator)
    kept, stands = to_plain(state), generator.bit_generator.state
    expected, _ = method(-J, state, generator)
    fresh, other = from_torchjd(aggregation.GradVac()), np.random.default_rng()
    other.bit_generator.state = stands
    assert torch.equal(fresh(-J, from_plain(kept), other)[0], expected)


def test_ones_own_subclass_works_and_one_with_a_memory_of_its_own_is_refused():
    class Half(aggregation.Aggregator):
        def forward(self, matrix, /):
            return matrix.sum(dim=0) / 2

    class Counting(Half):
        def reset(self):
            self.count = 0

    assert aggregate(J, Half()).tolist() == pytest.approx((J.sum(dim=0) / 2).tolist())
    with pytest.raises(ValueError, match=r"`aggregator` must remember nothing, .* found Counting"):
        from_torchjd(Counting())
    with pytest.raises(TypeError, match="`aggregator` must be an aggregator of torchjd, found 'upgrad'"):
        from_torchjd("upgrad")


@pytest.mark.parametrize("method", ["cagrad", lambda J: J.sum(dim=0) / 2, "sam_gs"])
def test_ours_is_accepted_where_torchjd_expects_its_own(method):
    aggregator = as_torchjd(method)
    assert isinstance(aggregator, aggregation.Aggregator)
    shared = torch.nn.Linear(3, 2)
    losses = [shared(torch.ones(3)).square().sum(), -shared(torch.eye(3)).sum()]
    backward(losses, retain_graph=True)
    jac_to_grad(shared.parameters(), aggregator)
    theirs = torch.cat([p.grad.flatten() for p in shared.parameters()])
    for p in shared.parameters():
        p.grad = None
    GradientSurgery(shared.parameters(), build(method)).backward(losses)
    torch.testing.assert_close(theirs, torch.cat([p.grad.flatten() for p in shared.parameters()]))


def test_as_torchjd_takes_fields_and_presets():
    assert "rescale=0" in repr(as_torchjd("cagrad", preset="paper"))
    assert "c=0.3" in repr(as_torchjd("cagrad", c=0.3, seed=1))
