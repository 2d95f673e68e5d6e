"""What was seen while acting, for learning from it later: transitions of all tasks, in whole episodes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Transitions(NamedTuple):
    """Of every task as many: (K, batch, ..)."""

    observations: Float[Tensor, "K batch O"]
    actions: Float[Tensor, "K batch A"]
    rewards: Float[Tensor, "K batch"]
    following: Float[Tensor, "K batch O"]


class Replay:
    """A ring of episodes of one length, which all tasks play at the same time.

    Every observation lies here once, not once as what followed and once as what was followed: half the memory, and
    half the checkpoint. The oldest episode makes room for the one that is being played.

    Args:
        num_tasks: K.
        horizon: steps of an episode.
        observations: numbers in an observation, O.
        actions: numbers in an action, A.
        device: where the transitions lie.
    """

    def __init__(self, num_tasks: int, horizon: int, observations: int, actions: int, device: torch.device) -> None:
        self._horizon = horizon
        self._parts = {
            "observations": torch.zeros(num_tasks, 0, horizon + 1, observations, device=device),
            "actions": torch.zeros(num_tasks, 0, horizon, actions, device=device),
            "rewards": torch.zeros(num_tasks, 0, horizon, device=device),
        }
        self._begun = self._step = 0  # episodes begun, steps of the last one

    def __len__(self) -> int:
        """Transitions of each task that can be drawn."""
        return self._kept * self._horizon + self._step

    def grow(self, episodes: int, most: int) -> None:
        """Makes room for so many more episodes, but for no more than `most` beside the one that is being played."""
        room = min(self._begun + episodes, most + 1) - self._slots
        if room > 0:
            for name, part in self._parts.items():
                K, _, *rest = part.shape
                self._parts[name] = torch.cat([part, part.new_zeros(K, room, *rest)], dim=1)

    def begin(self, observations: Float[np.ndarray, "K O"]) -> None:
        """A new episode; the last one must be over."""
        self._begun, self._step = self._begun + 1, 0
        self._write("observations", 0, observations)

    def add(
        self,
        actions: Float[np.ndarray, "K A"],
        rewards: Float[np.ndarray, " K"],
        following: Float[np.ndarray, "K O"],
    ) -> None:
        """What was done, what it brought, and what was seen then."""
        self._write("actions", self._step, actions)
        self._write("rewards", self._step, rewards)
        self._step += 1
        self._write("observations", self._step, following)

    def draw(self, batch: int, generator: np.random.Generator) -> Transitions:
        """As many transitions of each task, each as likely as any other, with replacement."""
        K = len(self._parts["rewards"])
        episode, step = np.divmod(generator.integers(len(self), size=(K, batch)), self._horizon)
        slot = (self._begun - 1 - self._kept + episode) % self._slots
        device = self._parts["rewards"].device
        task = torch.arange(K, device=device)[:, None]
        at, then = (torch.from_numpy(index).to(device) for index in (slot, step))
        seen, done, got = (self._parts[name] for name in ("observations", "actions", "rewards"))
        return Transitions(seen[task, at, then], done[task, at, then], got[task, at, then], seen[task, at, then + 1])

    def state_dict(self) -> dict[str, Any]:
        """After the end of an episode."""
        return {**self._parts, "begun": self._begun, "step": self._step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on with these very tensors."""
        self._parts = {name: state[name] for name in self._parts}
        self._begun, self._step = state["begun"], state["step"]

    @property
    def _slots(self) -> int:
        return self._parts["rewards"].shape[1]

    @property
    def _kept(self) -> int:
        """Whole episodes beside the last one."""
        return max(0, min(self._begun, self._slots) - 1)

    def _write(self, name: str, step: int, values: np.ndarray) -> None:
        self._parts[name][:, (self._begun - 1) % self._slots, step] = torch.from_numpy(values)
