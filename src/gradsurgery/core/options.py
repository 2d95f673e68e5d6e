"""The settings of a learner, checked apart from it so that a declaration is refused before any work."""

from collections.abc import Sequence

import torch

from gradsurgery.core.layers import check_thresholds
from gradsurgery.core.modes import check_mode

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def check_options(
    precision: object = "float32",
    diagnose_every: object = 50,
    score_layers: Sequence[float] = (),
    observe_layers: object = False,
    half_batches: object = False,
    sync_batchnorm: object = False,
    gradients: object = "stored",
    keep_weights: object = 1,
) -> None:
    """Refuses what a `Learner` cannot run with."""
    if precision not in list(PRECISIONS):  # a list also takes what has no hash
        raise ValueError(f"`precision` must be one of {', '.join(PRECISIONS)}, found {precision!r}.")
    if type(diagnose_every) is not int or diagnose_every < 1:
        raise ValueError(f"`diagnose_every` must be a whole number from 1, found {diagnose_every!r}.")
    for name, value in (
        ("observe_layers", observe_layers),
        ("half_batches", half_batches),
        ("sync_batchnorm", sync_batchnorm),
    ):
        if type(value) is not bool:
            raise ValueError(f"`{name}` must be true or false, found {value!r}.")
    check_thresholds(score_layers, "score_layers")
    check_mode(gradients, keep_weights)
    if gradients == "two_pass" and (observe_layers or tuple(score_layers)):
        name = "observe_layers" if observe_layers else "score_layers"
        raise ValueError(f"`{name}` must be left out with gradients = 'two_pass', which has no J, found both.")
