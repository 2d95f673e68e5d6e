"""Methods that are right hold; each wrong one is caught by the property that is meant for it, with J that shows it."""

import math

import pytest
import torch

from gradsurgery import certify
from gradsurgery.certify.search import ALL, chosen, examine
from tests.certify import broken

BY_NAME = {each.name: each for each in ALL}


def found(target, name, examples=25, shrink=False, **more):
    return examine(certify.subject(target, **more), BY_NAME[name], examples, shrink=shrink)


@pytest.mark.parametrize(
    ("method", "caught_by"),
    [
        *(
            (broken.no_number, name)
            for name in ("permutation", "duplicates", "zero_task", "float32", "half", "in_span")
        ),
        (broken.wrong_sign, "non_conflict"),
        (broken.wrong_sign, "closed_form"),
        (broken.forgets_the_last, "permutation"),
        (broken.forgets_the_last, "zero_task"),
        (broken.forgets_the_last, "duplicates"),
        (broken.favours_the_first, "permutation"),
        (broken.normalises_in_place, "input_kept"),
        (broken.draws_on_its_own, "deterministic"),
        (broken.draws_on_its_own, "replay"),
        (broken.overflows, "finite_scales"),
        (broken.overflows, "homogeneous"),
        (broken.in_double, "dtype_kept"),
        (broken.keeps_the_graph, "shape"),
        (broken.divides_by_zero, "zero_rows"),
        (broken.elementwise, "in_span"),
        (broken.elementwise, "one_task"),
        (broken.normalised, "linear_scaling"),
        (broken.tilted, "certificate"),
        (broken.tilted, "agrees_ours"),
        (broken.Smooth, "resume"),
        (broken.Unloadable, "resume"),
        (broken.Smooth, "memoryless"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_what_is_wrong_is_caught_by_what_is_meant_for_it(method, caught_by):
    implements = {broken.wrong_sign: "pcgrad", broken.tilted: "mgda"}.get(method)
    finding = found(method, caught_by, implements=implements, shrink=True)
    assert finding.verdict == "fails"
    assert finding.worst > finding.tolerance
    J = eval(finding.counterexample, {"torch": torch})
    assert BY_NAME[caught_by].tolerance == 0.0 or J.numel() <= 8, "shrunk"


@pytest.mark.parametrize(
    ("method", "broken_in"),
    [(broken.forgets_the_last, "duplicates"), (broken.elementwise, "in_span"), (broken.normalised, "linear_scaling")],
)
def test_a_counterexample_is_shrunk_to_a_few_numbers_unless_it_is_not_wanted(method, broken_in):
    first, smallest = (found(method, broken_in, shrink=shrink) for shrink in (False, True))
    assert (first.verdict, smallest.verdict) == ("fails", "fails")
    sizes = [eval(finding.counterexample, {"torch": torch}).numel() for finding in (first, smallest)]
    assert sizes[1] <= 8
    assert sizes[1] <= sizes[0]
    assert first.tried < smallest.tried


def test_a_pasted_counterexample_breaks_the_property_by_itself():
    finding = found(broken.wrong_sign, "non_conflict", shrink=True)
    J = eval(finding.counterexample, {"torch": torch})
    d = broken.wrong_sign(J)
    assert float((J @ d).min()) < 0.0
    assert J.shape == (2, 1), "two opposed gradients of one parameter are enough"


def test_the_min_norm_vector_is_certified():
    names = ("non_conflict", "permutation", "stationary", "closed_form", "certificate", "deterministic", "input_kept",
             "duplicates", "in_span", "half", "agrees_ours", "resume", "memoryless")  # fmt: skip
    subject = certify.subject(broken.min_norm)
    findings = certify.certify(subject, names, examples=15)
    assert {f.name: f.verdict for f in findings} == dict.fromkeys([p.name for p in chosen(subject, names)], "holds")
    assert certify.broken_claims(findings) == []
    assert [f.name for f in findings if f.claimed] == ["permutation", "non_conflict", "stationary"]


@pytest.mark.parametrize(
    "name", ["permutation", "deterministic", "closed_form", "agrees_ours", "replay", "resume", "memoryless"]
)
def test_a_random_order_is_no_dependence_on_the_order(name):
    """Two draws of a method differ, and so do the directions of permuted tasks; what is the same is their law."""
    assert found(broken.surgery, name, examples=15, implements="pcgrad").verdict == "holds"


def test_state_that_goes_in_and_comes_out_resumes():
    assert found(broken.stateful, "resume").verdict == "holds"
    assert found(broken.stateful, "memoryless").verdict == "fails"


@pytest.mark.parametrize(
    ("target", "name", "why"),
    [
        (broken.min_norm, "weights", "exposes no weights"),
        (broken.surgery, "closed_form", "no published method"),
        ("sum", "certificate", "sum has no certificate"),
    ],
)
def test_what_says_nothing_about_a_method_does_not_apply(target, name, why):
    finding = found(target, name, examples=15)
    assert finding.verdict == "does not apply"
    assert why in finding.note
    assert finding.worst is None


def test_a_method_of_three_tasks_is_asked_about_three():
    def three(J):
        assert len(J) == 3
        return J.mean(dim=0)

    assert found(three, "permutation", examples=15, tasks=(3, 3)).verdict == "holds"
    for name in ("duplicates", "zero_task"):
        assert found(three, name, examples=15, tasks=(3, 3)).verdict == "does not apply", "it takes no more tasks"
    assert found(three, "one_task", tasks=(3, 3)).note == "takes 3 to 3 tasks"
    assert "AssertionError" in found(lambda J: three(J) if len(J) > 2 else J.mean(dim=0), "permutation").note


def test_a_claim_may_have_a_tolerance_of_its_own():
    loose = found(broken.tilted, "agrees_ours", implements="mgda", claims={"agrees_ours": 1e-3})
    assert (loose.verdict, loose.tolerance) == ("holds", 1e-3)
    assert 1e-6 < loose.worst < 1e-3


def squared(J):
    """Grows with the square of J: at 1e25 J, d is no number of float32."""
    return J.abs().max() * J.sum(dim=0)


def cut_back(J):
    """The same with its length cut to 1 afterwards, as SAM-GS does: d is a number of float32, what leads to it not."""
    d = squared(J)
    return d / d.norm().clamp(min=1.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("method", "verdict"),
    [
        (lambda J: J.sum(dim=0), "holds"),
        (squared, "holds"),
        (lambda J: squared(J) * J.abs().max(), "holds"),  # in float32 nothing is left of it at 1e-18 J
        (cut_back, "fails"),
        (broken.overflows, "fails"),
        (lambda J: J.sum(dim=0).clamp(min=-1e20, max=1e20) * (1.0 if J.abs().max() < 1e20 else math.inf), "fails"),
    ],
    ids=["sum", "squared", "cubed", "cut_back", "overflows", "gives_up"],
)
def test_a_dtype_is_asked_for_no_answer_that_it_cannot_hold(method, verdict, dtype):
    assert found(method, "finite_scales", dtype=dtype).verdict == verdict


def test_what_computes_in_float32_is_asked_for_no_more():
    assert found(lambda J: J.float().sum(dim=0), "finite_scales", dtype="float32").verdict == "holds"


@pytest.mark.parametrize("name", ["float32", "half"])
def test_draws_of_another_dtype_are_other_draws(name):
    """torch.rand gives other numbers in float32 than in float64, which is no rounding of the method's."""

    def drops(J):
        return (torch.rand(len(J), dtype=J.dtype) > 0.5).to(J.dtype) @ J

    assert found(drops, name, examples=10).verdict == "holds"
    assert found(lambda J: drops(J) * (1.0 if J.dtype == torch.float64 else 9.0), name, examples=10).verdict == "fails"


def test_torchjds_object_shows_its_weights_and_draws_from_the_seed():
    peers = pytest.importorskip("torchjd.aggregation")
    assert found(peers.UPGrad(), "weights", examples=10).verdict == "holds"
    assert found(peers.PCGrad(), "deterministic", examples=10).verdict == "holds"
    assert found(peers.PCGrad(), "permutation", examples=10).verdict == "holds"


def test_the_same_call_finds_the_same():
    first, second = (found(broken.forgets_the_last, "permutation") for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": broken.weights_only}, r"must return a direction \(6,\)"),
        ({"target": "pcgrdad"}, "did you mean pcgrad"),
        ({"target": broken.min_norm, "implements": "mgdaa"}, "`as` must name one of .* did you mean mgda"),
        ({"target": broken.min_norm, "implements": "cagrad"}, "one non-negative number c"),
        ({"target": broken.min_norm, "fields": {"c": 1.0}}, "`fields` must be those of a method of ours"),
        ({"target": broken.min_norm, "tasks": (3, 2)}, "`tasks` must be"),
        ({"target": broken.min_norm, "dtype": "half"}, "`dtype` must be one of float64, float32"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        certify.subject(**arguments)


@pytest.mark.parametrize("claims", [("non_conflct",), {"non_conflct": 1.0}])
def test_refuses_a_claim_that_is_no_property(claims):
    with pytest.raises(ValueError, match="did you mean non_conflict"):
        certify.certify(certify.subject(broken.min_norm, claims=claims), ["shape"])


def test_a_violation_that_is_no_number_is_the_worst():
    finding = found(broken.divides_by_zero, "zero_rows")
    assert math.isinf(finding.worst)
