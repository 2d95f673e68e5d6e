"""Where the classifiers inside a network sit."""

from gradsurgery.networks._exits import places


def test_exits_sit_at_even_shares_of_the_work():
    assert places([1] * 10, 3) == [2, 5, 8]
    assert places([97, 1, 1, 1], 3) == [0, 1, 2]
    assert places([1, 1, 1, 97], 1) == [2]
    assert places([1, 1, 1], 2, before=97) == [0, 1]  # of the work in front nothing is to be had
