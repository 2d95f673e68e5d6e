"""Weights of K tasks, spread evenly over those that sum to 1: for fronts of static weights where K >= 3."""

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.extras import need

_DIGITS = 4  # a weight is read by people and written into declarations


def front_weights(count: int, num_tasks: int, seed: int = 0) -> Float64[np.ndarray, "count K"]:
    """`count` weightings from a scrambled Sobol sequence, uniform on the simplex.

    K - 1 coordinates in order cut [0, 1] into K pieces, whose lengths are uniform on the simplex where the coordinates
    are uniform on the cube.

    Args:
        count: how many; the first ones of a larger count with the same seed are the same.
        num_tasks: K, at least 2.
        seed: of the scrambling.
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1, found count = {count}.")
    if num_tasks < 2:
        raise ValueError(f"`num_tasks` must be at least 2, found num_tasks = {num_tasks}.")
    need("repro", "scipy")
    from scipy.stats import qmc

    power = max(count - 1, 1).bit_length()  # Sobol points are balanced in powers of two
    cube = qmc.Sobol(num_tasks - 1, rng=np.random.default_rng(seed)).random_base2(power)[:count]
    ends = np.concatenate([np.zeros((count, 1)), np.sort(cube, axis=1), np.ones((count, 1))], axis=1)
    return np.round(np.diff(ends, axis=1), _DIGITS)
