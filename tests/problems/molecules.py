"""Made-up molecules in the form of the package's files."""

import numpy as np

from gradsurgery.problems._molecules import COLUMNS, ELEMENTS


def file_of(first, n, seed):
    """n molecules in the package's own form, numbered from `first`; mu is the number of the molecule."""
    rng = np.random.default_rng(seed)
    lines = [f"XYZ_file,Index,SMILES,N_atoms,Elements,XYZ_Ang,{','.join(COLUMNS)}"]
    for index in range(first, first + n):
        atoms = int(rng.integers(2, 6))
        letters = ",".join(f"'{ELEMENTS[k]}'" for k in rng.integers(0, 5, atoms))
        places = ",".join(f"[{x:.10f},{y:.10f},{z:.10f}]" for x, y, z in rng.normal(0, 2, (atoms, 3)))
        values = ",".join(f"{v:.6f}" for v in [index, *rng.normal(5, 3, 10)])
        lines.append(f'"m{index}.xyz",{index},"C",{atoms},"[{letters}]","[{places}]",{values}')
    return np.frombuffer("\n".join([*lines, ""]).encode(), np.uint8)
