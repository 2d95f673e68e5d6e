"""All that the rest of a run depends on, and a run that goes on from it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradsurgery.core.plain import from_plain

if TYPE_CHECKING:
    from gradsurgery.core.learner import Learner


def state_of(learner: "Learner") -> dict[str, Any]:
    """Its state as it is now, not a copy."""
    return {
        "network": learner.network.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scheduler": None if learner.scheduler is None else learner.scheduler.state_dict(),
        "scaler": None if learner.scaler is None else learner.scaler.state_dict(),
        "surgery": learner.surgery.state_dict(),
        "generators": learner.generators.state_dict(),
        "balancer": learner.balancer_state,
        "balancer_parameters": dict(learner.balancer_parameters),
        "rule": learner.rule_state,
        "instruments": learner.instruments.state_dict(),
        "examples": learner.examples.state_dict(),
        "epochs": learner.epochs,
        "diagnostics": learner.diagnostics,
        "diverged": learner.diverged,
        "counters": [learner.step_count, learner.skipped_steps, learner.backward_passes],
        "step_times": learner.step_times,
    }


def restore(learner: "Learner", state: Mapping[str, Any]) -> None:
    """Makes the learner go on from what `state_of` gave. Raises ValueError, before any change, for a part of it."""
    if missing := state_of(learner).keys() - state.keys():
        raise ValueError(f"`state` must be all of a `state_dict`, found no {', '.join(sorted(missing))} in it.")
    state = from_plain(state)
    learner.network.load_state_dict(state["network"])
    learner.optimizer.load_state_dict(state["optimizer"])
    if learner.scheduler is not None:
        learner.scheduler.load_state_dict(state["scheduler"])
    if learner.scaler is not None:
        learner.scaler.load_state_dict(state["scaler"])
    learner.surgery.load_state_dict(state["surgery"])
    learner.generators.load_state_dict(state["generators"])
    learner.balancer_state = state["balancer"]
    for name, parameter in learner.balancer_parameters.items():
        parameter.detach().copy_(state["balancer_parameters"][name])
    learner.rule_state = state["rule"]
    learner.instruments.load_state_dict(state["instruments"])
    learner.examples.load_state_dict(state["examples"])
    learner.epochs = state["epochs"]
    learner.diagnostics = state["diagnostics"]
    learner.diverged = state["diverged"]
    learner.step_count, learner.skipped_steps, learner.backward_passes = state["counters"]
    learner.step_times = state["step_times"]
