"""DRGrad: the spec's fixtures and bounds, what routing may touch, the updater, and the released code's variant."""

import copy

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.experiment import build_learner
from gradsurgery.rules import drgrad as module
from gradsurgery.rules.drgrad import stakes_of, weights
from gradsurgery.rules.drgrad_code import stakes
from tests.core.rows import equal

SETTINGS = {"network": {"name": "recommender", "variant": "split", "width": 8, "tower": 6, "embedding": 2}}
SLOTS = {"transform": {"name": "identity"}, "balancer": {"name": "equal"}, "aggregator": {"name": "sum"}}


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    made = {"cardinalities": np.full(32, 5)}
    for split, n in (("train", 96), ("val", 40), ("test", 40)):
        made[f"{split}_continuous"] = rng.standard_normal((n, 7)).astype(np.float32)
        made[f"{split}_nominal"] = rng.integers(0, 5, (n, 32)).astype(np.uint8)
        signal = made[f"{split}_continuous"][:, :2] + rng.standard_normal((n, 2))
        made[f"{split}_labels"] = (signal > 0).astype(np.uint8)
    return made


@pytest.fixture
def make(arrays):
    def learner(rule, network=None, settings=None, **slots):
        values = SETTINGS | {"epochs": 4, "batch_size": 16, "lr": 1e-2} | (settings or {})
        values = values | {"network": values["network"] | (network or {})}
        fields = {"name": rule} if isinstance(rule, str) else rule
        declaration = {"problem": "census", "module": "census", "settings": values, "rule": fields}
        return build_learner(declaration | SLOTS | {"learner": {"diagnose_every": 4}} | slots, arrays, 0)

    return learner


def drgrad(**fields):
    return {"name": "drgrad", **fields}


def route(own, lent, others, pairing, gamma):
    return module.route(lent, others, stakes_of([[own, lent, *others]], gamma)[0], pairing)


def vectors(*rows):
    return [torch.tensor(row, dtype=torch.float64) for row in rows]


def routed(own, lent, other, pairing, gamma=1.0):
    to_own, to_lent, _ = route(*vectors(own, lent), vectors(other), pairing, gamma)
    return to_own, to_lent


def draws(n, seed=0):
    """Triples of vectors of very different lengths, correlated in every way."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        G = rng.standard_normal((3, 3)) @ rng.standard_normal((3, 4)) * 10 ** rng.uniform(-2, 2, (3, 1))
        yield [torch.from_numpy(g) for g in G]


def size(*parts):
    return float(torch.linalg.vector_norm(sum(parts)))


R = 0.5**0.5
FIXTURES = [
    ((1, 0), (0, 2), (-1, 0), ((-0.5, 4), (0, 0)), ((0, 1), (0, 0))),
    ((1, 0), (1, 1), (-1, 1), ((0.5, 1.914214), (0.5, 0.5)), ((R, R), (0.5, 0.5))),
    ((1, 0), (1, 0), (2, 0), ((2.5, 0), (0, 0)), ((2, 0), (0, 0))),
    ((1, 0), (-1, 0), (-2, 0), ((-1, 0), (0, 0)), ((-2, 0), (0, 0))),
    ((1, 0), (1, 0), (-1, 0), ((1, 0), (1, 0)), ((1, 0), (1, 0))),
]


@pytest.mark.parametrize(("own", "lent", "other", "printed", "matched"), FIXTURES)
def test_fixtures(own, lent, other, printed, matched):
    for pairing, expected in (("printed", printed), ("matched", matched)):
        for found, wanted in zip(routed(own, lent, other, pairing), expected, strict=True):
            torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("gamma", "expected"), [(0.5, 0.7071068), (1.0, 0.5), (2.0, 0.25)])
def test_the_length_ratio_is_clipped_and_raised_to_gamma(gamma, expected):
    _, _, facts = route(*vectors((1, 0), (0, 2)), vectors((0.5, 0)), "matched", gamma)
    assert facts["lambda_a"] == pytest.approx(expected, abs=1e-7)
    assert facts["lambda_b"] == 1.0
    assert (facts["xi_a"], facts["xi_b"]) == (0.0, 1.0)


def test_the_lent_tower_is_only_amplified_and_only_in_a_mixed_case():
    for own, lent, other in draws(500):
        _, a, facts = route(own, lent, [other], "printed", 1.0)
        _, b, _ = route(own, lent, [other], "matched", 1.0)
        assert torch.equal(a, b)
        c = max(-facts["xi_a"] * facts["xi_b"], 0.0)
        assert 0.0 <= c <= 1.0
        torch.testing.assert_close(a, c * lent)


def test_bounds():
    for own, lent, other in draws(1000, seed=1):
        for pairing in ("printed", "matched"):
            for gamma in (0.5, 1.0, 2.0):
                to_own, _, _ = route(own, lent, [other], pairing, gamma)
                assert size(to_own) <= (2 * size(lent) + size(other)) * (1 + 1e-9)
                if pairing == "matched" and gamma >= 1.0:
                    assert size(to_own) <= 3 * size(own) * (1 + 1e-9)


def test_below_one_gamma_breaks_the_bound_of_matched():
    to_own, _ = routed((1, 0), (-100, 0), (100, 1), "matched", 0.5)
    assert size(to_own) > 9.9


def test_the_printed_bound_is_false_for_printed_and_true_for_matched():
    for pairing, expected in (("printed", 3.99), ("matched", 2.1)):
        own, lent, other = vectors((0.1, 0), (1, 0), (-0.1, 0))
        to_own, to_lent, _ = route(own, lent, [other], pairing, 1.0)
        total = size(own, to_own, lent, to_lent, other)
        assert total == pytest.approx(expected, abs=0.011)


def test_conflict_amplifies_and_does_not_project():
    to_own, _ = routed((1, 0), (-1, 1), (0, 0), "matched")
    direction = to_own / size(to_own) * size(*vectors((-1.7071, 1.7071)))
    torch.testing.assert_close(direction, vectors((-1.7071, 1.7071))[0], rtol=0, atol=1e-4)
    assert size(to_own) == pytest.approx(1.707107, abs=1e-6)  # (1 + |xi|) lambda |g''| = 1.7071 / 2^0.5 * 2^0.5


@pytest.mark.parametrize("pairing", ["printed", "matched"])
def test_lengths_scale_through_and_zeros_stay_zero(pairing):
    for own, lent, other in draws(50, seed=2):
        a = route(own, lent, [other], pairing, 1.0)
        b = route(1e-5 * own, 1e-5 * lent, [1e-5 * other], pairing, 1.0)
        for x, y in zip(a[:2], b[:2], strict=True):
            torch.testing.assert_close(1e-5 * x, y)
    zero = torch.zeros(4, dtype=torch.float64)
    for to_own, to_lent, facts in (
        route(zero, zero, [zero], pairing, 1.0), route(zero, own, [other], pairing, 1.0),
    ):  # fmt: skip
        assert not to_own.any()
        assert not to_lent.any()
        assert (facts["xi_a"], facts["xi_b"]) == (0.0, 0.0)


def test_a_large_gamma_shuts_out_what_is_longer():
    to_own, _ = routed((1, 0), (0, 2), (3, 0), "matched", 200.0)
    assert size(to_own) < 1e-12


def test_several_auxiliary_tasks():
    own, lent, near, far = vectors((1, 0), (1, 0), (0.5, 0), (-0.5, 0))
    to_own, to_lent, facts = route(own, lent, [near, far], "matched", 1.0)
    torch.testing.assert_close(to_own, lent + near)
    torch.testing.assert_close(to_lent, 0.5 * lent)
    assert facts["conflict_b"] == 0.5


def test_weights_are_a_softmax_that_never_overflows():
    assert weights([0.0, 0.0]) == [0.5, 0.5]
    assert weights([0.5, 0.2]) == pytest.approx([0.574443, 0.425557], abs=1e-6)
    assert weights([1000.0, 0.0]) == [1.0, 0.0]
    assert weights([1e6, 1e6 + 1]) == pytest.approx([0.268941, 0.731059], abs=1e-6)


@pytest.mark.parametrize("pairing", ["printed", "matched"])
@pytest.mark.parametrize("aggregator", ["sum", "pcgrad"])
def test_only_the_primary_towers_change(make, pairing, aggregator):
    lent_changed = []
    for sign in (1.0, -1.0):  # turns T_2's hidden gradients round, so that one of the two is a mixed case
        joint, ours = (make(rule, aggregator={"name": aggregator}) for rule in ("joint", drgrad(pairing=pairing)))
        for learner in (joint, ours):
            learner.network.towers[2][2].weight.detach().mul_(sign)
        plain, found = first_gradients(joint), first_gradients(ours)
        flat = [torch.cat([g.flatten() for n, g in plain.items() if n.startswith(f"towers.{i}.")]) for i in range(3)]
        to_own, to_lent, _ = route(flat[0], flat[1], [flat[2]], pairing, 1.0)
        for i, addition in enumerate((to_own, to_lent)):
            after = torch.cat([g.flatten() for n, g in found.items() if n.startswith(f"towers.{i}.")])
            torch.testing.assert_close(after, flat[i] + addition)
        assert to_own.any()
        lent_changed.append(bool(to_lent.any()))
        for name, gradient in plain.items():
            if not name.startswith(("towers.0.", "towers.1.")):
                assert torch.equal(gradient, found[name]), name
    assert sorted(lent_changed) == [False, True]


def first_gradients(learner):
    """`.grad` by name that the optimiser steps with in the first step."""
    seen = []
    keep = learner.optimizer.register_step_post_hook(lambda *_: seen.append(named_gradients(learner)))
    epoch = learner.rule.epoch(learner, learner.problem.batches(learner.generators.order, learner.generators.method))
    next(epoch)
    epoch.close()
    keep.remove()
    return seen[0]


def named_gradients(learner):
    return {name: p.grad.clone() for name, p in learner.network.named_parameters()}


@pytest.mark.parametrize("scope", ["per_tensor", "first_kernel"])
def test_scopes(make, scope):
    plain, found = first_gradients(make("joint")), first_gradients(make(drgrad(scope=scope, pairing="matched")))
    for part in ("0.weight", "0.bias", "2.weight", "2.bias"):
        g = [plain[f"towers.{i}.{part}"].flatten() for i in range(3)]
        to_own, to_lent, _ = route(g[0], g[1], [g[2]], "matched", 1.0)
        if scope == "first_kernel" and part != "0.weight":
            to_own, to_lent = 0 * to_own, 0 * to_lent
        for i, addition in enumerate((to_own, to_lent)):
            torch.testing.assert_close(found[f"towers.{i}.{part}"].flatten(), g[i] + addition)


def test_mu_moves_after_the_step_by_the_lengths_of_the_routed_gradients(make):
    learner = make(drgrad())
    used = []
    learner.network.towers[0].register_forward_hook(lambda *_: used.append(learner.network.mu.tolist()))
    found = first_gradients(learner)
    assert used[0] == [0.5, 0.5]
    sigma = [
        float(torch.cat([g.flatten() for n, g in found.items() if n.startswith(f"towers.{i}.")]).norm()) for i in (0, 1)
    ]
    assert learner.rule_state["sigma"] == pytest.approx(sigma, rel=1e-6)
    assert learner.network.mu.tolist() == pytest.approx(weights(sigma), abs=1e-6)
    assert not learner.network.mu.requires_grad


def test_updaters(make):
    mus = {}
    for updater in ("sum", "mean", "frozen"):
        learner = make(drgrad(updater=updater), settings={"epochs": 6})
        for _ in range(6):
            learner.epoch()
        mus[updater] = learner.network.mu[0].item()
        sigma, n = learner.rule_state["sigma"], learner.rule_state["updates"]
        assert n == learner.step_count == 36
        divisor = {"sum": 1, "mean": n}.get(updater)
        if divisor:
            assert mus[updater] == pytest.approx(weights([s / divisor for s in sigma])[0], abs=1e-6)
    assert mus["frozen"] == 0.5
    assert mus["sum"] > 0.95  # the printed updater runs away
    assert 0.5 < mus["mean"] < 0.7


def test_with_all_weight_on_its_own_tower_and_nothing_routed_it_trains_as_mmoe(make):
    ours = make(drgrad(updater="frozen"))
    mmoe = make("joint", network={"variant": "mmoe", "equal_capacity": False})
    ours.network.mu.copy_(torch.tensor([1.0, 0.0]))
    same = {"towers.0.": "towers.0.", "towers.1.": "towers.2."}
    state = ours.network.state_dict()
    with torch.no_grad():
        for name, p in mmoe.network.named_parameters():
            p.copy_(state[same.get(name[:9], name[:9]) + name[9:]])
    a, b = first_gradients(mmoe), first_gradients(ours)
    assert not any(g.any() for n, g in b.items() if n.startswith("towers.1."))  # T'' learns nothing
    for name, gradient in a.items():
        if not name.startswith("towers.0."):
            assert torch.equal(gradient, b[same.get(name[:9], name[:9]) + name[9:]]), name


def test_the_routers_numbers_are_recorded(make):
    learner = make(drgrad())
    row = learner.epoch()
    assert 0.5 <= row["train.router.mu"] <= 1.0
    assert 0.0 <= row["train.router.conflict_b"] <= 1.0
    steps = {r["step"]: r for r in learner.diagnostics}
    assert list(steps) == [0, 1, 2, 3, 4, 5]  # 0 and 4 diagnosed, the others early
    assert all("rule.mu" in r and "rule.xi_b" in r and "rule.lambda_a" in r for r in steps.values())
    assert "mean_cosine" in steps[4]
    assert "mean_cosine" not in steps[3]
    assert steps[0]["rule.mu"] == 0.5


def test_a_skipped_step_routes_nothing(make):
    learner = make(drgrad())
    for p in learner.network.towers[2].parameters():
        p.register_hook(lambda g: g * torch.nan)
    row = learner.epoch()
    assert learner.skipped_steps == learner.step_count == 6
    assert learner.rule_state["updates"] == 0
    assert "train.router.mu" not in row
    assert learner.network.mu.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("absent", [0, 1])
@pytest.mark.parametrize("rule", ["drgrad", "drgrad_code"])
def test_a_batch_without_a_task_is_refused_before_anything_moves(make, monkeypatch, rule, absent):
    learner = make(rule, network={} if rule == "drgrad" else {"variant": "ple"}, aggregator={"name": "gcond"})
    learner.epoch()
    before, usual = copy.deepcopy(learner.state_dict()), learner.problem.losses
    monkeypatch.setattr(
        learner.problem,
        "losses",
        lambda *given: [None if k == absent else loss for k, loss in enumerate(usual(*given))],
    )
    with pytest.raises(
        ValueError, match=f"rule `{rule}` must have a loss of each of the tasks income, never_married .* found 1 of 2"
    ):
        learner.epoch()
    after = learner.state_dict()
    for part in ("network", "optimizer", "surgery", "rule", "balancer"):
        assert equal(after[part], before[part])


def test_a_balancer_that_drops_a_task_is_refused(make):
    with pytest.raises(ValueError, match=r"rule `drgrad` must have a loss of each .* found 1 of 2"):
        make("drgrad", balancer={"name": "single_task", "task": 0}).epoch()


def test_resuming_gives_the_same_bits(make):
    straight, first, second = make(drgrad()), make(drgrad()), make(drgrad())
    straight.epoch()
    straight.epoch()
    first.epoch()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.epoch()
    assert straight.epochs == second.epochs
    assert straight.rule_state == second.rule_state
    assert all(
        torch.equal(a, b)
        for a, b in zip(straight.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    )


def test_inference_routes_nothing_and_reads_mu_alone(make):
    learner = make(drgrad())
    learner.epoch()
    before = copy.deepcopy(learner.rule_state)
    a = learner.problem.evaluate(learner.network, "val").metrics
    assert learner.rule_state == before
    learner.network.mu.copy_(torch.tensor([0.0, 1.0]))
    b = learner.problem.evaluate(learner.network, "val").metrics
    assert a["income.loss"] != b["income.loss"]
    assert a["never_married.loss"] == b["never_married.loss"]


def test_the_hook_goes_with_the_epoch(make):
    learner = make(drgrad())
    learner.epoch()
    assert not learner.optimizer._optimizer_step_pre_hooks


@pytest.mark.parametrize(
    ("fields", "network", "settings", "message"),
    [
        ({"gamma": 0.0}, {}, {}, "`gamma` must be positive and finite, found gamma = 0.0"),
        ({"pairing": "swapped"}, {}, {}, "`drgrad.pairing` must be one of 'printed', 'matched', found 'swapped'"),
        ({}, {"variant": "mmoe"}, {}, "must be given two towers for the first task .*, found one for each of 2 tasks"),
        ({}, {"name": "mlp"}, {}, "is no field of mlp"),
    ],
)
def test_bad_input(make, fields, network, settings, message):
    with pytest.raises(ValueError, match=message):
        make(drgrad(**fields), network=network, settings=settings)


def test_other_networks_and_unequal_towers_are_refused(make):
    rule = build("rules", "drgrad")
    with pytest.raises(ValueError, match="must be given a network with towers, such as `recommender`, found MLP"):
        rule.attach(build("networks", "mlp"))
    split = make("joint").network
    split.towers[2] = torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1))
    with pytest.raises(ValueError, match=r"must be given towers of one shape, found \[\(6, 8\), .*\(5, 8\)"):
        rule.attach(split)
    three = build("networks", "recommender", cardinalities=(), num_continuous=3, num_tasks=3, variant="split")
    with pytest.raises(ValueError, match="`pairing` must be 'matched' with several auxiliary tasks, found 'printed'"):
        rule.attach(three)
    assert build("rules", "drgrad", pairing="matched").attach(three) is three


@pytest.mark.parametrize("rule", ["drgrad", "drgrad_code"])
def test_clipping_is_refused(make, rule):
    network = {"variant": "split" if rule == "drgrad" else "ple"}
    with pytest.raises(ValueError, match=f"rule `{rule}` must run without clipping, .*, found clip = 1.0"):
        make(rule, network=network, settings={"clip": 1.0}).epoch()


@pytest.mark.parametrize("similarity", ["cosine", "sign_agreement"])
def test_the_code_routes_both_ways_between_first_kernels(make, similarity):
    network = {"variant": "ple", "levels": 2, "experts": 3}
    plain = first_gradients(make("joint", network=network))
    found = first_gradients(make({"name": "drgrad_code", "similarity": similarity}, network=network))
    h1, h2 = plain["towers.0.0.weight"], plain["towers.1.0.weight"]
    s, w12, w21 = stakes(h1.flatten(), h2.flatten(), similarity)
    factor = 1 - s if s <= 0 else 1.0
    torch.testing.assert_close(found["towers.0.0.weight"], h1 + w12 * factor * h2)
    torch.testing.assert_close(found["towers.1.0.weight"], h2 + w21 * factor * h1)
    for name, gradient in plain.items():
        assert torch.equal(gradient, found[name]) != name.endswith(("towers.0.0.weight", "towers.1.0.weight")), name


def test_the_code_needs_two_plain_towers(make):
    with pytest.raises(
        ValueError, match="must be given one tower for each of two tasks, found 3 towers, two of them the first"
    ):
        make("drgrad_code")
    with pytest.raises(ValueError, match="must be given a network with towers, such as `recommender`, found MLP"):
        build("rules", "drgrad_code").attach(build("networks", "mlp"))
