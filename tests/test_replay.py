"""Replay: what went in comes out together, each as likely as any other, and the oldest episode makes room."""

import numpy as np
import pytest
import torch

from gradsurgery.replay import Replay

K, H = 2, 3


def play(replay, episode, steps=H):
    """Observations count 100 a task, 10 an episode, 1 a step; actions and rewards are those times -1 and 1000."""
    seen = np.array([[100.0 * k + 10.0 * episode] for k in range(K)], np.float32)
    replay.begin(seen)
    for _ in range(steps):
        replay.add(-seen, 1000.0 * seen[:, 0], seen + 1.0)
        seen = seen + 1.0


def drawn(replay, count=4000):
    found = replay.draw(count, np.random.default_rng(0))
    torch.testing.assert_close(found.following, found.observations + 1.0)
    torch.testing.assert_close(found.actions, -found.observations)
    torch.testing.assert_close(found.rewards, 1000.0 * found.observations[..., 0])
    values, counts = np.unique(found.observations.numpy(), return_counts=True)
    assert (found.observations[1] >= 100.0).all()
    assert (found.observations[0] < 100.0).all()
    return values.tolist(), counts


def expected(*transitions):
    return [100.0 * k + 10.0 * episode + step for k in range(K) for episode, step in transitions]


@pytest.fixture
def replay():
    return Replay(K, H, 1, 1, torch.device("cpu"))


def test_what_was_played_so_far_is_drawn_evenly(replay):
    replay.grow(4, 10)
    play(replay, 0)
    play(replay, 1, steps=1)
    assert len(replay) == 4
    values, counts = drawn(replay)
    assert values == expected((0, 0), (0, 1), (0, 2), (1, 0))
    assert counts.min() > 0.85 * counts.mean()


def test_the_oldest_makes_room_for_the_one_that_is_played(replay):
    replay.grow(9, 2)
    for episode in range(4):
        play(replay, episode)
    assert len(replay) == 3 * H
    assert drawn(replay)[0] == expected(*((e, s) for e in (1, 2, 3) for s in range(H)))
    play(replay, 4, steps=1)
    assert drawn(replay)[0] == expected(*((e, s) for e in (2, 3) for s in range(H)), (4, 0))


def test_it_grows_by_what_is_to_come_and_keeps_what_it_has(replay):
    replay.grow(2, 5)
    for episode in range(2):
        play(replay, episode)
    replay.grow(2, 5)
    assert replay.state_dict()["rewards"].shape == (K, 4, H)
    play(replay, 2)
    assert drawn(replay)[0] == expected(*((e, s) for e in range(3) for s in range(H)))
    replay.grow(9, 5)
    assert replay.state_dict()["rewards"].shape == (K, 6, H)


def test_a_copy_of_its_state_goes_on_alike(replay):
    replay.grow(3, 1)
    for episode in range(3):
        play(replay, episode)
    other = Replay(K, H, 1, 1, torch.device("cpu"))
    other.load_state_dict(
        {name: torch.clone(v) if torch.is_tensor(v) else v for name, v in replay.state_dict().items()}
    )
    for each in (replay, other):
        each.grow(1, 1)
        play(each, 3)
    assert drawn(replay)[0] == drawn(other)[0] == expected(*((e, s) for e in (2, 3) for s in range(H)))
