"""A cache of the hidden states after the frozen layers, so that another pass or fit does not run them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from plaudit.language.rows import Rows, Tree, lay

LIMIT = 2**30  # bytes; states beyond it are computed whenever they are needed


@dataclass(eq=False)
class FrozenCache:
    """Hidden states (L, d) of trees, in the order of their tokens.

    Each tree goes through the layers alone, so its states do not depend on the batch in which it first occurred, and a
    resumed run computes the same bits.
    """

    limit: int = LIMIT
    states: dict[bytes, Tensor] = field(default_factory=dict)
    used_bytes: int = 0

    def lower(self, run: Callable[[Rows], Tensor], name: bytes, trees: Sequence[Tree], rows: Rows) -> Tensor:
        """Hidden states (R, T, d) of trees, laid out as in ``rows``; 0 in padding.

        run: computes the states of rows (1, L). name: names the settings on which the states depend besides the tokens.
        """
        return place_states([self._compute(run, name + tree.contents, tree, rows) for tree in trees], rows)

    def _compute(self, run: Callable[[Rows], Tensor], name: bytes, tree: Tree, rows: Rows) -> Tensor:
        if name in self.states:
            return self.states[name]
        states = run(lay([tree]).to(rows.tokens.device))[0]
        if self.used_bytes + states.nbytes <= self.limit:
            self.states[name] = states
            self.used_bytes += states.nbytes
        return states


def place_states(states: Sequence[Tensor], rows: Rows) -> Tensor:
    """Lay out states (L, d) of the trees of ``rows`` as (R, T, d), 0 in padding."""
    flat = torch.zeros((rows.tokens.numel(), states[0].shape[1]), dtype=states[0].dtype, device=states[0].device)
    for tree_states, begin in zip(states, rows.begins.tolist(), strict=True):
        flat[begin : begin + len(tree_states)] = tree_states
    return flat.view(*rows.tokens.shape, -1)
