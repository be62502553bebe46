"""One reward from an ensemble's: their mean, or less than that where they disagree (Coste et al. 2023, section 3)."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

Pooling = Literal["mean", "worst", "uncertain"]


def pool(rewards: Float[Tensor, "members *N"], pooling: Pooling, caution: float) -> Float[Tensor, "*N"]:
    """The members' normalised rewards as one: their mean; worst: their minimum; uncertain: mean less caution times
    variance."""
    if pooling == "worst":
        return rewards.amin(dim=0)
    mean = rewards.mean(dim=0)
    return mean - caution * rewards.var(dim=0, correction=0) if pooling == "uncertain" else mean
