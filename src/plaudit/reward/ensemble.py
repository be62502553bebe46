"""r_theta: an ensemble of rewards learned from comparisons (Christiano et al. 2017, section 2.2.3)."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal, cast

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from plaudit.functional.actions import actions_of
from plaudit.functional.pictures import picture_shape, shows_pictures
from plaudit.functional.pooling import Pooling, pool
from plaudit.functional.preference import end_value, partial_return, regret_statistic
from plaudit.reward.groups import check_entries, resolve_groups
from plaudit.reward.networks import StackedCNN, StackedMLP
from plaudit.types import Array, PlauditError, Trajectory, check_hidden

PreferenceModel = Literal["partial-return", "end-value", "regret"]
Objective = Literal["mean", "worst-group", "heads", "mixture"]
MEAN, WORST = "mean", "worst"  # aims that are no group

MOST_MEMBERS, MOST_CLUSTERS = 1000, 50


@dataclass(frozen=True)
class RewardConfig:
    """The reward model and how it is fitted."""

    members: int = 3
    """Number of members of the ensemble; each has its own bootstrap sample."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of a member (MLP only)."""
    std: float = 1.0
    """Standard deviation of the reward handed to the policy (the paper: 1 for MuJoCo, 0.05 for Atari)."""
    preference: PreferenceModel = "partial-return"
    """Quantity that people are assumed to compare: the sum of rewards (partial-return), that sum plus the value of the
    end (end-value), or regret."""
    gamma: float = 1.0
    """Discount within a segment."""
    pooling: Pooling = "mean"
    """Pooling of the members' rewards. mean; worst: their minimum; uncertain: their mean less ``caution`` times their
    variance (Coste et al. 2023, section 3)."""
    caution: float = 0.5
    """Weight of the variance (with uncertain pooling only)."""
    clamp: bool = False
    """Bring observations to the range of the clips that were judged: nothing is known about the reward outside."""
    objective: Objective = "mean"
    """Loss to minimise. mean: over all answers; worst-group: of the group of annotators whose answers the model
    predicts worst (Sagawa et al. 2020). With heads, each group has a reward. A mixture finds as many groups as
    ``clusters`` by the answers of each annotator (Chakraborty et al. 2024)."""
    groups: tuple[str, ...] = ()
    """Group of an annotator as ANNOTATOR=GROUP, or a CSV file with the columns annotator and group, for worst-group
    and heads. With worst-group, an annotator without a group is a group."""
    clusters: int = 2
    """Number of rewards of a mixture."""
    aim: str = MEAN
    """Reward of the policy, with heads or a mixture. mean: over the groups; worst: the lowest of the groups at each
    step; or the name of a group. The groups of a mixture are 1, 2, ..., the largest first."""
    smoothing: float = 0.0
    """Share of an answer that is taken for a tie (label smoothing), in [0, 1)."""
    lapse: float = 0.1
    """Probability that an answer is a coin toss (the paper: 0.1); the initial value if the rate is fitted."""
    fit_lapse: bool = True
    """Fit the lapse rate to the answers instead of fixing it."""
    learning_rate: float = 2e-3
    """Adam's step size."""
    batch: int = 64
    """Comparisons per gradient step."""
    first_epochs: int = 200
    """Passes over the answers at the first fit (the paper's pretraining epochs)."""
    epochs: int = 30
    """Passes over the answers at each later fit."""
    l2: float = 1e-4
    """Initial weight of the squared weights; it adapts to keep the ratio of held-out to training loss in [1.1, 1.5]."""
    latest: int | None = 3000
    """Number of the latest answers that a fit uses, as in the paper for Atari; None: all."""

    def __post_init__(self) -> None:
        check_hidden(self.hidden)
        if self.members > MOST_MEMBERS:
            raise ValueError(f"RewardConfig.members is at most {MOST_MEMBERS}, got {self.members}")
        if self.members < 1 or self.batch < 1 or self.first_epochs < 1 or self.epochs < 0:
            raise ValueError("RewardConfig: members, batch and first_epochs must be positive, epochs not negative")
        object.__setattr__(self, "groups", tuple(self.groups))
        self._check_groups()
        if not 0 <= self.lapse < 1:
            raise ValueError(f"RewardConfig.lapse lies in [0, 1), got {self.lapse}")
        if not 0 <= self.smoothing < 1 or not 0 <= self.caution < float("inf"):
            raise ValueError("RewardConfig: smoothing lies in [0, 1), and caution is not negative")
        if self.std <= 0:
            raise ValueError(f"RewardConfig.std must be positive, got {self.std}")
        if self.latest is not None and self.latest < 1:
            raise ValueError(f"RewardConfig.latest must be at least 1, or None for all, got {self.latest}")

    def _check_groups(self) -> None:
        """Raise :class:`PlauditError` if the settings of groups do not fit together. No file is read."""
        check_entries(self.groups)
        if self.groups and self.objective not in ("worst-group", "heads"):
            raise PlauditError(
                "reward.groups needs --reward.objective worst-group or heads: the objective "
                f"{self.objective} has no named groups"
            )
        if not 2 <= self.clusters <= MOST_CLUSTERS:
            raise PlauditError(f"reward.clusters must be 2 to {MOST_CLUSTERS}, got {self.clusters}")
        if self.objective in ("mean", "worst-group"):
            if self.aim != MEAN:
                raise PlauditError(
                    f"reward.aim {self.aim!r} needs --reward.objective heads or mixture: the objective "
                    f"{self.objective} has one reward for all"
                )
            return
        if self.preference != "partial-return":
            raise PlauditError(
                f"reward.objective {self.objective} needs --preference partial-return: the critic values one reward, "
                "and not that of each group"
            )
        if self.objective == "heads" and not self.groups:
            raise PlauditError("reward.objective heads needs --reward.groups ANNOTATOR=GROUP ..., or a file of groups")

    def group_of(self, annotator: str) -> str:
        """The group of an annotator; one whom ``groups`` does not name is a group."""
        return self.named_groups.get(annotator, annotator)

    @cached_property
    def named_groups(self) -> dict[str, str]:
        """The group of each annotator that ``groups`` names; raises :class:`PlauditError` if a file is not readable."""
        return resolve_groups(self.groups)

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The groups that have a reward each; () if one reward serves all.

        Raises:
            PlauditError: a file of groups cannot be read; ``aim`` is no group; a group is called mean or worst.
        """
        if self.objective == "mixture":
            names = tuple(str(number + 1) for number in range(self.clusters))
        elif self.objective == "heads":
            names = tuple(sorted(set(self.named_groups.values())))
        else:
            return ()
        if MEAN in names or WORST in names:
            raise PlauditError(
                "reward.groups: a group must not be called mean or worst, which are values of reward.aim"
            )
        if self.aim not in (MEAN, WORST, *names):
            raise PlauditError(f"reward.aim {self.aim!r} is no group: choose from {', '.join((MEAN, WORST, *names))}")
        return names


class RewardEnsemble(nn.Module):
    """``M`` rewards r_m(o, a), each normalised over recent experience, then averaged.

    With ``G`` groups each member has a reward of each group, r_0 + r_g, on one trunk, and ``M`` below is G times M,
    group by group. The common part r_0 learns from all answers, and r_g from those of the group. So a group without
    answers has the common reward, and answers of annotators without a group train that one.

    States are normalised with moments that :meth:`set_normaliser` installs once, before the first fit: a moving
    normaliser would move the reward of a clip that was already judged.
    """

    def __init__(self, observation_space: spaces.Box, action_space: spaces.Space, config: RewardConfig) -> None:
        super().__init__()
        self.config = config
        self.pixels = shows_pictures(observation_space)
        self.actions = actions_of(action_space)
        outputs = 1 + len(config.heads) if config.heads else 1
        members = config.members * max(len(config.heads), 1)
        if self.pixels:
            self.network: nn.Module = StackedCNN(config.members, *picture_shape(observation_space.shape), outputs)
            size = 1
        else:
            size = prod(observation_space.shape)
            self.network = StackedMLP(config.members, size + self.actions.width, config.hidden, outputs)
        if config.objective == "heads":  # a group is as the others until it answers; those of a mixture differ at first
            head = self.network.head if isinstance(self.network, StackedCNN) else cast(StackedMLP, self.network)
            with torch.no_grad():
                for parameter in (head.weights[-1], head.biases[-1]):
                    parameter[..., 1:] = 0
        self.lapse_logit = nn.Parameter(torch.logit(torch.tensor(max(config.lapse, 1e-6))))
        self.lapse_logit.requires_grad_(config.fit_lapse)
        for name, value in (
            ("mean", torch.zeros(size)),
            ("scale", torch.ones(size)),
            ("member_mean", torch.zeros(members)),
            ("member_std", torch.ones(members)),
            ("l2", torch.tensor(config.l2)),
            ("fits", torch.tensor(0)),
        ):
            self.register_buffer(name, value)
        if self.clamps:  # folders of runs that do not clamp have no such numbers
            self.register_buffer("low", torch.full((size,), -torch.inf))
            self.register_buffer("high", torch.full((size,), torch.inf))
        if config.objective == "mixture":
            self.register_buffer("shares", torch.full((config.clusters,), 1 / config.clusters))
        self.low: Tensor
        self.high: Tensor
        self.shares: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.member_mean: Tensor
        self.member_std: Tensor
        self.l2: Tensor
        self.fits: Tensor

    @property
    def clamps(self) -> bool:
        """Whether observations are brought to the range that was judged; pictures have the same range everywhere."""
        return self.config.clamp and not self.pixels

    @property
    def lapse(self) -> Tensor:
        """The lapse rate as it is now: exactly the configured one unless it is fitted."""
        return torch.sigmoid(self.lapse_logit) if self.config.lapse or self.config.fit_lapse else torch.tensor(0.0)

    def forward(
        self, observations: Shaped[Tensor, "N *observation"], actions: Shaped[Tensor, "N *action"]
    ) -> Float[Tensor, "members N"]:
        """Raw rewards of every member, of each group."""
        rewards = self.head_rewards(observations, actions)
        return rewards[0] if len(rewards) == 1 else rewards[1:].flatten(0, 1)

    def head_rewards(
        self, observations: Shaped[Tensor, "N *observation"], actions: Shaped[Tensor, "N *action"]
    ) -> Float[Tensor, "heads members N"]:
        """Raw rewards of every member: the common one, then those of the groups, if there are any."""
        if self.pixels:
            outputs = self.network(observations)
        else:
            observations = observations.flatten(1).float()
            if self.clamps:
                observations = observations.clamp(self.low, self.high)
            state = ((observations - self.mean) * self.scale).clamp_(-10, 10)
            outputs = self.network(torch.cat((state, self.actions.encode(actions)), dim=1))
        if outputs.dim() == 2:
            return outputs.unsqueeze(0)
        common, groups = outputs[..., :1], outputs[..., 1:]
        return torch.cat((common, common + groups), dim=-1).movedim(-1, 0)

    def statistic(
        self, rewards: Float[Tensor, "members *N L"], values: Float[Tensor, "*N two"] | None
    ) -> Float[Tensor, "members *N"]:
        """What the chosen preference model compares, from per-step rewards and V at a segment's first and last step.

        With V at the last observed step, the statistics telescope over L - 1 rewards (Knox et al. 2022, section 3).
        The critic speaks of the normalised reward, so its values are scaled back for each member; the means that
        normalisation took away cancel between segments of equal length.
        """
        gamma = self.config.gamma
        if self.config.preference == "partial-return":
            return partial_return(rewards, gamma)
        if values is None:
            raise PlauditError(
                f"preference model {self.config.preference} needs a critic's values at the segments' ends"
            )
        scale = (self.member_std / self.config.std).view(-1, *[1] * (values.dim() - 1))
        start, end = values[..., 0] * scale, values[..., 1] * scale
        if self.config.preference == "end-value":
            return end_value(rewards[..., :-1], end, gamma)
        return regret_statistic(rewards[..., :-1], start, end, gamma)

    @torch.inference_mode()
    def per_step(self, trajectory: Trajectory, chunk: int = 16384) -> Float[np.ndarray, "members B T"]:
        """Raw rewards of every member for a batch of trajectories, in one batched pass a chunk."""
        self.eval()
        observations, actions = (x.swapaxes(0, 1) for x in (trajectory.observations, trajectory.actions))
        time, batch = observations.shape[:2]
        observations = torch.from_numpy(observations.reshape(time * batch, *observations.shape[2:]))
        actions = torch.from_numpy(actions.reshape(time * batch, *actions.shape[2:]))
        device = self.lapse_logit.device
        parts = [
            self(o.to(device), a.to(device)).cpu()
            for o, a in zip(observations.split(chunk), actions.split(chunk), strict=True)
        ]
        return torch.cat(parts, dim=1).view(-1, time, batch).transpose(1, 2).numpy()

    def rewards(self, trajectory: Trajectory) -> Float[np.ndarray, "B T"]:
        """Rewards of a batch of trajectories, as :meth:`pool` makes them of the members'."""
        return self.pool(self.per_step(trajectory))

    @torch.inference_mode()
    def step_rewards(
        self, observations: Shaped[np.ndarray, "N *observation"], actions: Shaped[np.ndarray, "N *action"]
    ) -> Float[np.ndarray, " N"]:
        """Rewards of single steps, as :meth:`rewards` gives them for whole trajectories."""
        self.eval()
        device = self.lapse_logit.device
        return self.pool(
            self(torch.from_numpy(observations).to(device), torch.from_numpy(actions).to(device)).cpu().numpy()
        )

    def pool(self, per_step: Float[np.ndarray, "members *steps"]) -> Float[np.ndarray, "*steps"]:
        """Normalise each member, then pool them (section 2.2.1 and footnote: average), in units of ``config.std``."""
        axes = tuple(range(1, per_step.ndim))
        mean, std = (np.expand_dims(x.cpu().numpy(), axes) for x in (self.member_mean, self.member_std))
        normalised = torch.from_numpy((per_step - mean) / std).unflatten(0, (-1, self.config.members))
        groups = pool(normalised.movedim(1, 0), self.config.pooling, self.config.caution)
        return (self._join_groups(groups).numpy() * self.config.std).astype(np.float32, copy=False)

    def _join_groups(self, rewards: Float[Tensor, "groups *steps"]) -> Float[Tensor, "*steps"]:
        """The policy's reward of those of the groups, as ``aim`` says."""
        aim = self.config.aim
        if aim == WORST:
            return rewards.amin(dim=0)
        if aim == MEAN:
            return rewards.mean(dim=0)
        if self.config.objective == "mixture":
            return rewards[int(self.shares.argsort(descending=True, stable=True)[int(aim) - 1])]
        return rewards[self.config.heads.index(aim)]

    def calibrate(self, per_step: Float[np.ndarray, "members B T"], mask: Array) -> None:
        """Take each member's mean and standard deviation from recent real steps."""
        recent = torch.from_numpy(per_step[:, mask])
        self.member_mean.copy_(recent.mean(dim=1))
        self.member_std.copy_(recent.std(dim=1, correction=0).clamp_min(1e-6))

    def set_range(self, observations: Array) -> None:
        """Take the range of judged observations (N, *observation), to which all later inputs are brought."""
        if self.clamps:
            flat = torch.from_numpy(observations).flatten(1).float()
            self.low.copy_(flat.amin(dim=0))
            self.high.copy_(flat.amax(dim=0))

    def set_normaliser(self, observations: Array) -> None:
        """Take the observation moments (N, *observation) that all later inputs are scaled by."""
        if not self.pixels:
            flat = torch.from_numpy(observations).flatten(1).float()
            self.mean.copy_(flat.mean(dim=0))
            self.scale.copy_(1 / flat.std(dim=0, correction=0).clamp_min(1e-4))
