"""What frozen layers made of texts, kept: another pass, or the next fit, does not run them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from plaudit.language.rows import Rows, Tree, lay

LIMIT = 2**30  # bytes; what comes later is computed whenever it is needed


@dataclass(eq=False)
class Kept:
    """Hidden states (L, d) of trees, in the order of their tokens.

    Each tree goes through the layers by itself. What is kept does not depend on what it was first seen beside, so a run
    that was resumed computes the same bits.
    """

    limit: int = LIMIT
    states: dict[bytes, Tensor] = field(default_factory=dict)
    held: int = 0  # bytes

    def lower(self, run: Callable[[Rows], Tensor], name: bytes, trees: Sequence[Tree], rows: Rows) -> Tensor:
        """(R, T, d) of trees where they lie in ``rows``; 0 in padding.

        run: gives rows (1, L) their states; name: what they depend on besides the tokens.
        """
        return placed([self._of(run, name + tree.contents, tree, rows) for tree in trees], rows)

    def _of(self, run: Callable[[Rows], Tensor], name: bytes, tree: Tree, rows: Rows) -> Tensor:
        if name in self.states:
            return self.states[name]
        found = run(lay([tree]).to(rows.tokens.device))[0]
        if self.held + found.nbytes <= self.limit:
            self.states[name] = found
            self.held += found.nbytes
        return found


def placed(states: Sequence[Tensor], rows: Rows) -> Tensor:
    """States (L, d) of the trees of ``rows`` as (R, T, d), 0 in padding."""
    flat = torch.zeros((rows.tokens.numel(), states[0].shape[1]), dtype=states[0].dtype, device=states[0].device)
    for each, begin in zip(states, rows.begins.tolist(), strict=True):
        flat[begin : begin + len(each)] = each
    return flat.view(*rows.tokens.shape, -1)
