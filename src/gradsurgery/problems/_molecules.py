"""QM9's files as arrays: atoms and properties of every molecule, and histograms of the distances between its atoms."""

import io

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from gradsurgery.core.extras import need

COLUMNS = (
    "Dipole_debye", "Polarizability_bohr3", "HOMO_au", "LUMO_au", "R2_bohr2", "ZPVE_au", "InternalEnergy_0K_au",
    "InternalEnergy_298K_au", "Enthalphy_298K_au", "GibbsFreeEnergy_298K_au", "Heatcapacity_Cv_cal_mol_K",
)  # fmt: skip
ELEMENTS = "HCNOF"
# Distances (Angstrom) between which an atom pair is shared out in proportion; finer where chemical bonds lie.
KNOTS = np.array([
    0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0,
])  # fmt: skip
_PAIRS = np.zeros((5, 5), np.int64)  # number of every unordered pair of elements
_PAIRS[np.triu_indices(5)] = np.arange(15)
_PAIRS = np.maximum(_PAIRS, _PAIRS.T)
FEATURES = len(ELEMENTS) + 15 * len(KNOTS)
_CHUNK = 2048  # molecules at a time: some 100 MB


def molecules(
    file: UInt8[np.ndarray, " bytes"],
) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, "n f"], Float64[np.ndarray, "n 11"]]:
    """Number, histogram and properties of every molecule in one file. Raises ValueError for one of another make-up."""
    need("repro", "pandas")
    import pandas as pd  # here: training reads arrays, and need not wait for it

    texts = ["Elements", "XYZ_Ang"]
    try:
        frame = pd.read_csv(io.BytesIO(file.tobytes()), usecols=["Index", "N_atoms", *texts, *COLUMNS])
    except ValueError as error:
        raise ValueError(f"`raw` must be CSV files with the columns of qm9pack, found: {error}") from None
    atoms = frame["N_atoms"].to_numpy()
    letters, numbers = ("".join(frame[c] + ",").translate(str.maketrans("", "", "[]' ")) for c in texts)
    elements = np.array([ELEMENTS.find(letter) for letter in letters.rstrip(",").split(",")])
    coordinates = np.array(numbers.rstrip(",").split(","), np.float64)
    targets = frame[list(COLUMNS)].to_numpy(np.float64)
    if (
        len(elements) != atoms.sum()
        or len(coordinates) != 3 * atoms.sum()
        or elements.min() < 0
        or not np.isfinite(targets).all()
    ):
        raise ValueError(
            f"`raw` must give an element of {ELEMENTS} and three coordinates for each of {atoms.sum()} atoms and "
            f"finite properties, found {len(elements)} elements and {len(coordinates)} coordinates."
        )
    ends = np.concatenate([[0], atoms.cumsum()])
    features = []
    for start in range(0, len(atoms), _CHUNK):
        own = slice(ends[start], ends[min(start + _CHUNK, len(atoms))])
        features.append(histograms(atoms[start : start + _CHUNK], elements[own], coordinates.reshape(-1, 3)[own]))
    return frame["Index"].to_numpy(), np.concatenate(features), targets


def histograms(
    atoms: Int64[np.ndarray, " n"], elements: Int64[np.ndarray, " a"], places: Float64[np.ndarray, "a 3"]
) -> Float32[np.ndarray, "n f"]:
    """Atoms of each element, then for every pair of elements how many of its atoms lie near each distance of `KNOTS`.

    Invariant to where a molecule lies, how it is turned and in what order its atoms come. Arithmetic, square roots and
    sums in the order of the pairs only, so that every processor gives the same bits.

    Args:
        atoms: of every molecule, how many.
        elements: of every atom its place in `ELEMENTS`, molecule after molecule.
        places: of every atom, in Angstrom.
    """
    n, most = len(atoms), int(atoms.max())
    there = np.arange(most) < atoms[:, None]
    kinds, xyz = np.zeros((n, most), np.int64), np.zeros((n, most, 3))
    kinds[there], xyz[there] = elements, places
    i, j = np.triu_indices(most, 1)
    both = there[:, i] & there[:, j]
    apart = (xyz[:, i] - xyz[:, j])[both]
    distance = np.sqrt(apart[:, 0] ** 2 + apart[:, 1] ** 2 + apart[:, 2] ** 2).clip(KNOTS[0], KNOTS[-1])
    pair = _PAIRS[kinds[:, i], kinds[:, j]][both]
    below = np.searchsorted(KNOTS, distance, side="right").clip(1, len(KNOTS) - 1) - 1
    share = (distance - KNOTS[below]) / (KNOTS[below + 1] - KNOTS[below])
    molecule = np.nonzero(both)[0]
    column = molecule * FEATURES + len(ELEMENTS) + pair * len(KNOTS) + below
    found = np.bincount(column, 1.0 - share, n * FEATURES) + np.bincount(column + 1, share, n * FEATURES)
    found += np.bincount(np.repeat(np.arange(n), atoms) * FEATURES + elements, minlength=n * FEATURES)
    return found.reshape(n, FEATURES).astype(np.float32)
