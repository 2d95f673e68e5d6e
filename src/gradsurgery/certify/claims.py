"""What the methods of the house claim: said by their docstrings and papers, in the names of properties.

A method says so itself, by an attribute `claims`; these do not yet, because their files stand behind recorded runs.
"""

from gradsurgery.aggregators.cagrad import CAGrad
from gradsurgery.aggregators.mean import Mean
from gradsurgery.aggregators.mgda import MGDA
from gradsurgery.aggregators.pcgrad import PCGrad
from gradsurgery.aggregators.placebo_positive import PlaceboPositive
from gradsurgery.aggregators.placebo_random import PlaceboRandom
from gradsurgery.aggregators.sam_gs import SAMGS
from gradsurgery.aggregators.sum import Sum
from gradsurgery.certify.identity import Identity
from gradsurgery.core.interfaces import Method, Scalarization, Weighting

# Of every method: tests/contracts.py
_HOUSE = (
    "shape", "input_kept", "deterministic", "dtype_kept", "replay", "resume", "one_task", "zero_rows", "float32",
    "half", "finite_decades",
)  # fmt: skip
_OF_G = ("in_span", "memoryless", "homogeneous", "finite_scales")
_LINEAR = ("alike", "duplicates", "permutation", "linear_scaling", "zero_task", "mean_descent", "weights")
_FAIR = ("non_conflict", "non_conflict_decades", "stationary")


def claims_of(method: Method) -> tuple[str, ...]:
    """Names of the properties that one of our methods, with its hyper-parameters, is said to have."""
    own: tuple[str, ...] = ()
    if isinstance(method, Scalarization | Weighting):
        own = _OF_G
    match method:
        case Mean() | Sum():
            own += _LINEAR
        case PCGrad(order=order):
            own += ("alike", "linear_scaling", "zero_task", "weights")
            own += ("permutation",) if order == "random" else ()
        case CAGrad(solver="official"):
            own = ("in_span", "memoryless", "weights")  # its tolerances are absolute
        case CAGrad(c=c, zero_task=zero_task):
            own += ("alike", "duplicates", "permutation", "weights", "certificate", "closed_form")
            own += ("zero_task",) if zero_task == "drop" else ()
            own += _FAIR if c >= 1.0 else ("mean_descent",)
        case MGDA():
            own += ("alike", "duplicates", "permutation", "mean_descent", "weights", "certificate", "closed_form")
            own += _FAIR
        case PlaceboPositive():
            own += ("permutation", "linear_scaling")
        case PlaceboRandom():
            own += ("permutation", "homogeneous")
        case SAMGS():
            own += ("permutation", "finite_scales")
    return _HOUSE + own


def identity_of(method: Method) -> Identity | None:
    """The published method that one of ours computes, where there is a formula to hold it against."""
    match method:
        case Mean():
            return Identity("mean")
        case Sum():
            return Identity("sum")
        case MGDA():
            return Identity("mgda")
        case PCGrad(include_self=False):
            return Identity("pcgrad")
        case CAGrad(c=c):
            return Identity("cagrad", {"c": c})
    return None
