"""Actor-critics for control: an MLP for state vectors, a CNN for stacked frames, one head for both outputs.

A control policy looks at the latest observation only. Observations arrive as numpy, so that collecting never
touches autograd; the update passes the same arrays through :meth:`ActorCritic.evaluate`.
"""

from dataclasses import dataclass
from math import log, pi, prod
from typing import Literal

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from plaudit.control.observations import one_line
from plaudit.functional.actions import Choices, actions_of
from plaudit.functional.objective import gaussian_entropy
from plaudit.functional.pictures import convolutions, picture_shape, shows_pictures
from plaudit.functional.pixels import PictureConv2d, half_precision, pictures
from plaudit.policy.steps import StepPieces, Steps
from plaudit.types import Array, PlauditError, Trajectory, check_hidden

OBSERVATION_CLIP = 10.0  # standard deviations, after normalisation


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of an actor-critic."""

    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer (MLP only)."""
    normalise: bool = True
    """Divide state observations by their running standard deviation."""
    log_std: float = -0.5
    """Initial log standard deviation of continuous actions, in units of half the action range."""
    critic: Literal["shared", "separate"] = "shared"
    """Layers of the value function: those of the policy, or layers of its own (MLP only; Schulman et al. 2017, section
    6.1, on continuous control). Where returns are large, errors of the value keep shared layers from learning."""

    def __post_init__(self) -> None:
        check_hidden(self.hidden)


def paper_cnn(channels: int, height: int, width: int, features: int = 64) -> tuple[nn.Module, int]:
    """Christiano et al. 2017, appendix A.2: kernels and strides by :func:`convolutions`; 16 filters; 64 units."""
    layers: list[nn.Module] = []
    for index, (kernel, stride) in enumerate(convolutions(height, width)):
        layer = nn.Conv2d if index else PictureConv2d
        layers += [layer(channels, 16, kernel, stride), nn.LeakyReLU(0.01)]
        height, width, channels = (height - kernel) // stride + 1, (width - kernel) // stride + 1, 16
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * height * width, features), nn.LeakyReLU(0.01)), features


class ActorCritic(nn.Module):
    """pi(a|o) and V(o), on one trunk or two; a Categorical for each choice, a diagonal Gaussian for continuous actions.

    Continuous actions are kept in units of half the action range, unclipped, so that their density is exact;
    :meth:`to_environment` clips and scales them. :mod:`plaudit.functional.actions` has the spaces.
    """

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, config: NetworkConfig) -> None:
        super().__init__()
        if not isinstance(observation_space, spaces.Box):
            raise PlauditError(
                f"observation space {one_line(observation_space)} is not a Box: wrap it in "
                "gymnasium.wrappers.FlattenObservation"
            )
        self.pixels = shows_pictures(observation_space)
        self.normalise = config.normalise and not self.pixels
        self.actions = actions_of(action_space)
        if not isinstance(self.actions, Choices):
            self.log_std = nn.Parameter(torch.full((self.actions.width,), config.log_std))
        if self.pixels:
            if config.critic != "shared":
                raise PlauditError("a critic with layers of its own is for state vectors: pictures need critic shared")
            self.trunk, features = paper_cnn(*picture_shape(observation_space.shape))
        else:
            self.trunk, features = _mlp(prod(observation_space.shape), config.hidden)
        self.critic: nn.Module | None = None
        columns = self.actions.width + (config.critic == "shared")  # the value, in the last one: one product for both
        self.head = nn.Linear(features, columns)
        _initialise(self.trunk, self.head, self.actions.width)
        if config.critic == "separate":
            layers, features = _mlp(prod(observation_space.shape), config.hidden)
            value = nn.Linear(features, 1)
            _initialise(layers, value, 0)
            self.critic = nn.Sequential(layers, value)
        if self.pixels:
            self.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        size = 1 if self.pixels else prod(observation_space.shape)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.mean: Tensor
        self.scale: Tensor

    def forward(self, observations: Shaped[Tensor, "N *observation"]) -> Float[Tensor, "N outputs"]:
        """Action parameters in the first columns, V(o) in the last."""
        if self.pixels:
            with half_precision(observations.device) as dtype:
                return self.head(self.trunk(pictures(observations, dtype))).float()
        inputs = observations.flatten(1).float()
        if self.normalise:
            inputs = ((inputs - self.mean) * self.scale).clamp_(-OBSERVATION_CLIP, OBSERVATION_CLIP)
        outputs = self.head(self.trunk(inputs))
        return outputs if self.critic is None else torch.cat([outputs, self.critic(inputs)], dim=1)

    @torch.inference_mode()
    def act(self, observations: Array, rng: np.random.Generator, greedy: bool = False) -> tuple[Array, Array, Array]:
        """Sample actions for ``(B, *observation)``: actions (B,) or (B, A), log-probabilities (B,) and values (B,)."""
        outputs = self(torch.from_numpy(observations).to(self.mean.device)).cpu().numpy()
        preferences, values = outputs[:, :-1], outputs[:, -1]
        if isinstance(self.actions, Choices):
            return *self.actions.sample(preferences, rng, greedy), values
        log_std = self.log_std.detach().cpu().numpy()
        noise = np.zeros_like(preferences) if greedy else rng.standard_normal(preferences.shape, dtype=np.float32)
        log_probs = -(0.5 * noise**2 + log_std).sum(axis=1) - 0.5 * self.actions.width * log(2 * pi)
        return preferences + noise * np.exp(log_std), log_probs.astype(np.float32), values

    @torch.inference_mode()
    def value(self, observations: Array) -> Array:
        """V(o) for ``(B, *observation)``."""
        return self(torch.from_numpy(observations).to(self.mean.device))[:, -1].cpu().numpy()

    def pieces(self, experience: Trajectory) -> StepPieces:
        """The steps of the experience, on the device of the networks."""
        return StepPieces(experience, self.mean.device)

    def evaluate(self, steps: Steps) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, " N"]]:
        """log pi(a|o), V(o) and the entropy of pi(.|o), with gradients."""
        actions = steps.actions
        outputs = self(steps.observations)
        preferences, values = outputs[:, :-1], outputs[:, -1]
        if isinstance(self.actions, Choices):
            log_probs, entropy = self.actions.evaluate(preferences, actions)
            return log_probs, values, entropy
        noise = (actions - preferences) * torch.exp(-self.log_std)
        constant = 0.5 * self.actions.width * log(2 * pi) + self.log_std.sum()
        entropy = gaussian_entropy(self.log_std).expand(len(noise))
        return -0.5 * noise.square().sum(dim=-1) - constant, values, entropy

    def to_environment(self, actions: Array) -> Array:
        """What the environment receives: offset for choices; clipped and scaled for continuous actions."""
        return self.actions.to_environment(actions)

    def set_normaliser(self, mean: Tensor, std: Tensor) -> None:
        """Install observation moments; the caller decides when, so that acting and learning always agree."""
        self.mean.copy_(mean)
        self.scale.copy_(1 / std.clamp_min(1e-4))


def _mlp(inputs: int, hidden: tuple[int, ...]) -> tuple[nn.Module, int]:
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(inputs, units), nn.Tanh()]
        inputs = units
    return nn.Sequential(*layers), inputs


def _initialise(trunk: nn.Module, head: nn.Linear, choices: int) -> None:
    """Orthogonal weights; nearly uniform first policy, so that the first clips show everything.

    choices: the first columns of the head, which are the policy's.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, 2**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.orthogonal_(head.weight, 1.0)
    with torch.no_grad():
        head.weight[:choices] *= 0.01
    nn.init.zeros_(head.bias)
