"""Few labels among many pictures: which pictures keep theirs, in what order they come, and how they are changed."""

import itertools

import numpy as np
import pytest

from gradsurgery.problems._few_labels import divided, endless, labelled_places, moved, pierce


class Forced(np.random.Generator):
    """Draws what it is told to, one answer after the other."""

    def __init__(self, *answers):
        super().__init__(np.random.PCG64(0))
        self.answers = iter(answers)

    def integers(self, low, high, size):
        found = np.broadcast_to(next(self.answers), size)
        assert ((low <= found) & (found < high)).all()
        return found.copy()


def test_the_first_of_every_class_keep_their_labels():
    keep, rest = labelled_places(np.array([1, 0, 0, 1, 0], np.uint8), 1, 2)
    assert keep.tolist() == [1, 0]
    assert rest.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("each", "classes", "message"),
    [
        (3, 2, "`labelled` must leave 3 training pictures to each of the 2 classes, found 2 of one"),
        (1, 1, "found 2 of one, and labels up to 1"),
        (2, 2, "`labelled` must leave pictures without a label, found 4 of 4"),
    ],
)
def test_too_few_pictures_are_refused(each, classes, message):
    with pytest.raises(ValueError, match=message):
        labelled_places(np.array([0, 1, 0, 1], np.uint8), each, classes)


def test_every_place_comes_once_before_any_comes_again():
    places = np.array([3, 5, 7])
    found = np.concatenate(list(itertools.islice(endless(np.random.default_rng(0), places, 2), 30)))
    rounds = found.reshape(20, 3)
    assert np.array_equal(np.sort(rounds, axis=1), np.tile(places, (20, 1)))
    assert len(set(map(tuple, rounds))) > 1


def test_a_picture_is_moved_with_its_margin_mirrored_and_then_swapped():
    column = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, :, None], (1, 32, 32, 3))
    for shift, swapped in itertools.product((0, 2, 4), (0, 1)):
        found = moved(column, Forced(np.array([[[2]], [[shift]]]), swapped))[0, 0, :, 0].astype(int)
        expected = np.abs(np.arange(32) + shift - 2)  # -1 is mirrored to 1, -2 to 2
        expected = np.where(expected > 31, 62 - expected, expected)
        assert found.tolist() == (expected[::-1] if swapped else expected).tolist()


def test_a_hole_is_sixteen_wide_and_cut_at_the_margin():
    pictures = np.full((2, 32, 32, 3), 255, np.uint8)
    pierce(pictures, Forced(np.array([[16, 16], [0, 31]])))
    assert (pictures[0, 8:24, 8:24] == 0).all()
    assert (pictures == 0).all(axis=3).sum(axis=(1, 2)).tolist() == [256, 8 * 9]
    assert (pictures[1, :8, 23:] == 0).all()


def test_a_tenth_of_every_class_validates_and_labels_stay_with_their_pictures():
    labels = np.repeat([0, 1], 20).astype(np.uint8)
    images = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None, None], (40, 32, 32, 3)).copy()
    made = divided({"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}, 0)
    assert np.bincount(made["val_labels"]).tolist() == [2, 2]
    numbers = np.concatenate([made[f"{split}_images"][:, 0, 0, 0] for split in ("train", "val")])
    assert sorted(numbers) == list(range(40))
    for split in ("train", "val", "test"):
        assert (made[f"{split}_labels"] == made[f"{split}_images"][:, 0, 0, 0] // 20).all()
