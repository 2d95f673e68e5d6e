"""QM9's files and the histograms of distances: what they see, what they do not, and what is refused."""

import numpy as np
import pytest

from gradsurgery.problems._molecules import ELEMENTS, FEATURES, KNOTS, histograms, molecules
from tests.problems.molecules import file_of


def _one(letters, places):
    kinds = np.array([ELEMENTS.index(letter) for letter in letters])
    return histograms(np.array([len(letters)]), kinds, np.array(places, float))[0]


def test_a_pair_is_shared_out_between_the_knots_on_either_side():
    # H and C are pair 1 of HH, HC, HN, .. ; 1.125 lies a quarter of the way from 1.1 to 1.2
    found = _one("HC", [[0, 0, 0], [0, 1.125, 0]])
    expected = np.zeros(FEATURES)
    expected[[0, 1]] = 1
    expected[5 + len(KNOTS) + 2 : 5 + len(KNOTS) + 4] = 0.75, 0.25
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("distance", "knot"), [(0.1, 0), (0.9, 0), (8.0, 19), (30.0, 19)])
def test_distances_beyond_the_knots_count_at_the_last(distance, knot):
    found = _one("FF", [[0, 0, 0], [distance, 0, 0]])
    assert np.flatnonzero(found[5:]).tolist() == [14 * len(KNOTS) + knot]
    assert found[5:].sum() == 1


def test_turning_moving_and_renumbering_change_nothing_and_stretching_does():
    rng = np.random.default_rng(0)
    places, letters = rng.normal(0, 2, (9, 3)), "HHCCNOHFC"
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(9)
    before = _one(letters, places)
    after = _one([letters[k] for k in order], (places @ turn + [3, -1, 7])[order])
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert before[5:].sum() == pytest.approx(36)
    assert abs(_one(letters, 1.1 * places) - before).max() > 0.1


def test_molecules_of_other_sizes_do_not_mix():
    a, b = ("HCO", np.eye(3)), ("NNFFC", 2 * np.arange(15.0).reshape(5, 3))
    kinds = np.array([ELEMENTS.index(letter) for letter in a[0] + b[0]])
    both = histograms(np.array([3, 5]), kinds, np.concatenate([a[1], b[1]]))
    np.testing.assert_array_equal(both, [_one(*a), _one(*b)])


def _changed(file, old, new):
    return np.frombuffer(file.tobytes().replace(old, new, 1), np.uint8)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"HOMO_au", b"homo", "`raw` must be CSV files with the columns of qm9pack, found"),
        (b"'H'", b"'Xe'", "`raw` must give an element of HCNOF and three coordinates"),
        (b"'H'", b"'H','H'", "atoms and finite properties, found"),
        (b"]]", b",1.0]]", r"found \d+ elements and \d+ coordinates"),
    ],
)
def test_wrong_files_are_refused(old, new, said):
    with pytest.raises(ValueError, match=said):
        molecules(_changed(file_of(1, 30, 0), old, new))
