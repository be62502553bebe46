"""Which of a reward model's heads an answer is about: its annotator's group, as told, or as their answers tell.

A mixture is fitted by EM (Chakraborty et al. 2024, "MaxMin-RLHF", algorithm 2, with soft assignments). An annotator a
is of group k with probability q_a(k) proportional to pi_k exp(-sum of the losses of a's answers by head k), and each
head is fitted to all answers with these weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from plaudit.reward.ensemble import RewardConfig, RewardEnsemble

FEWEST = 1e-3  # share of a group that has lost all annotators: it can win them back
COMMON = 0  # the head of answers whose annotator has no group


def named_heads(config: RewardConfig, annotators: Sequence[str] | None) -> Float[Tensor, "N heads"]:
    """1 at the head of each answer's group, at the common one for annotators without a group; 0 elsewhere."""
    if annotators is None:
        raise ValueError("heads need Comparisons.annotators")
    number = {group: index + 1 for index, group in enumerate(config.heads)}
    index = [number.get(config.named_groups.get(name, ""), COMMON) for name in annotators]
    return torch.nn.functional.one_hot(torch.tensor(index, dtype=torch.long), 1 + len(number)).float()


def mix_heads(
    values: Float[Tensor, "heads members N"], heads: Float[Tensor, "N heads"] | None
) -> Float[Tensor, "members N"]:
    """The mean over heads, weighted for each answer; None: of the only head."""
    return values[0] if heads is None else torch.einsum("hmn,nh->mn", values, heads)


class Mixture:
    """The groups of annotators that no setting names."""

    def __init__(self, model: RewardEnsemble, annotators: Sequence[str] | None) -> None:
        if annotators is None:
            raise ValueError("a mixture needs Comparisons.annotators")
        self.model = model
        number = {name: index for index, name in enumerate(dict.fromkeys(annotators))}
        self.annotator = torch.tensor([number[name] for name in annotators], dtype=torch.long)
        self.count = len(number)

    def expect(self, losses: Float[Tensor, "heads members N"], leave_one_out: bool = False) -> Float[Tensor, "N heads"]:
        """The weight of each head for each answer, by all answers of its annotator; the common head has none.

        leave_one_out: by the annotator's other answers, so that an answer does not choose who predicts it.
        """
        evidence = -losses[1:].mean(dim=1).T  # (N, K)
        totals = evidence.new_zeros(self.count, evidence.shape[1]).index_add_(0, self.annotator, evidence)
        prior = self.model.shares.cpu().to(evidence.dtype).log()
        rows = totals[self.annotator] - (evidence if leave_one_out else 0)
        weights = torch.softmax(prior + rows, dim=1).float()
        return torch.nn.functional.pad(weights, (1, 0))

    def update_shares(self, heads: Float[Tensor, "N heads"]) -> None:
        """Set pi_k to the mean of q_a(k) over annotators, each of whom counts once."""
        answers = torch.bincount(self.annotator, minlength=self.count).float()
        shares = (heads[:, 1:] / answers[self.annotator, None]).sum(dim=0) / self.count
        self.model.shares.copy_((shares + FEWEST).div(1 + FEWEST * len(shares)))
