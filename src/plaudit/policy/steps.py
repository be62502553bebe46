"""Experience of a policy of states as N steps, from which each update takes a random share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from plaudit.types import Trajectory


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps that one update takes."""

    observations: Tensor
    """(N, *observation)."""
    actions: Tensor
    """(N, *action)."""
    rows: Tensor | None = None
    """(N,) int64: the positions of the steps among all steps of the experience; None: all of them, in order."""

    def __len__(self) -> int:
        return len(self.observations)


class StepPieces:
    """The steps of an experience that count, time-major and without padding (:class:`plaudit.policy.improve.Pieces`).

    Dropping padding before anything is computed makes it impossible for padding to influence an update.
    """

    mask: Tensor | None = None

    def __init__(self, experience: Trajectory, device: torch.device) -> None:
        self.device = device
        self.real = None if experience.mask.all() else flat(experience.mask)
        self.steps = Steps(
            self._select(flat(experience.observations)).to(device), self._select(flat(experience.actions)).to(device)
        )

    def arrange(self, values: Tensor) -> Tensor:
        """(B, T) -> (N,)."""
        return self._select(values.T.reshape(-1))

    def updates(self, count: int, generator: torch.Generator) -> Iterator[Sequence[Steps]]:
        """A random permutation of the steps in ``count`` parts; with one part, all steps in order."""
        if count == 1:
            yield [self.steps]
            return
        order = torch.randperm(len(self.steps), generator=generator).to(self.device)
        for rows in order.chunk(count):
            yield [Steps(self.steps.observations[rows], self.steps.actions[rows], rows)]

    def take(self, arranged: Tensor, piece: Steps) -> Tensor:
        """(N,) of the piece's steps."""
        arranged = arranged.to(self.device)
        return arranged if piece.rows is None else arranged[piece.rows]

    def size(self, piece: Steps) -> int:
        """The number of steps in ``piece``."""
        return len(piece)

    def _select(self, values: Tensor) -> Tensor:
        return values if self.real is None else values[self.real]


def flat(array: Shaped[np.ndarray, "B T *rest"]) -> Shaped[Tensor, "N *rest"]:
    """(B, T, ...) -> (T * B, ...), without a copy when memory is time-major, as collectors write it."""
    return torch.from_numpy(array.swapaxes(0, 1).reshape(-1, *array.shape[2:]))
