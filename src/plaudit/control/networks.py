"""Actor-critics for control: an MLP for state vectors, a CNN for stacked frames, one head for both outputs.

A control policy looks at the latest observation only. Observations arrive as numpy, so that collecting never
touches autograd; the update passes the same arrays through :meth:`ActorCritic.evaluate`.
"""

from dataclasses import dataclass
from math import log, pi, prod

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from plaudit.functional.objective import categorical_entropy, gaussian_entropy
from plaudit.functional.pixels import PictureConv2d, convolutions, half_precision, pictures, shows_pictures
from plaudit.policy.steps import StepPieces, Steps
from plaudit.types import Array, PlauditError, Trajectory

OBSERVATION_CLIP = 10.0  # standard deviations, after normalisation
TINY = np.float32(1e-30)  # an exponential draw can be exactly 0


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of an actor-critic."""

    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer (MLP only)."""
    normalise: bool = True
    """Divide state observations by their running standard deviation."""
    log_std: float = -0.5
    """Initial log standard deviation of continuous actions, in units of half the action range."""


def paper_cnn(channels: int, height: int, width: int, features: int = 64) -> tuple[nn.Module, int]:
    """Christiano et al. 2017, appendix A.2: kernels and strides by :func:`convolutions`; 16 filters; 64 units."""
    layers: list[nn.Module] = []
    for index, (kernel, stride) in enumerate(convolutions(height, width)):
        layer = nn.Conv2d if index else PictureConv2d
        layers += [layer(channels, 16, kernel, stride), nn.LeakyReLU(0.01)]
        height, width, channels = (height - kernel) // stride + 1, (width - kernel) // stride + 1, 16
    if min(height, width) < 1:
        raise PlauditError("pixel observations are too small for the CNN: at least 10x10 pixels are needed")
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * height * width, features), nn.LeakyReLU(0.01)), features


class ActorCritic(nn.Module):
    """pi(a|o) and V(o) on one trunk; Categorical for discrete, diagonal Gaussian for continuous actions.

    Continuous actions are kept in units of half the action range, unclipped, so that their density is exact;
    :meth:`to_environment` clips and scales them.
    """

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, config: NetworkConfig) -> None:
        super().__init__()
        if not isinstance(observation_space, spaces.Box):
            raise PlauditError(f"observation space {observation_space} is not a Box: flatten it with a wrapper first")
        self.pixels = shows_pictures(observation_space)
        self.normalise = config.normalise and not self.pixels
        if isinstance(action_space, spaces.Discrete):
            self.actions, self.discrete, self.first_action = int(action_space.n), True, int(action_space.start)
        elif isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
            if not (np.isfinite(action_space.low).all() and np.isfinite(action_space.high).all()):
                raise PlauditError(f"action space {action_space} is unbounded: rescale it with a wrapper first")
            self.actions, self.discrete = action_space.shape[0], False
            self.centre = (action_space.high + action_space.low) / 2
            self.half_range = (action_space.high - action_space.low) / 2
            self.log_std = nn.Parameter(torch.full((self.actions,), config.log_std))
        else:
            raise PlauditError(f"action space {action_space} is not supported: Discrete or a flat Box is needed")
        if self.pixels:
            channels, height, width = observation_space.shape
            self.trunk, features = paper_cnn(channels, height, width)
        else:
            self.trunk, features = _mlp(prod(observation_space.shape), config.hidden)
        self.head = nn.Linear(features, self.actions + 1)  # the last column is the value: one product for both
        _initialise(self.trunk, self.head)
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
        return self.head(self.trunk(inputs))

    @torch.inference_mode()
    def act(self, observations: Array, rng: np.random.Generator, greedy: bool = False) -> tuple[Array, Array, Array]:
        """Sample actions for ``(B, *observation)``: actions (B,) or (B, A), log-probabilities (B,), values (B,)."""
        outputs = self(torch.from_numpy(observations).to(self.mean.device)).cpu().numpy()
        preferences, values = outputs[:, :-1], outputs[:, -1]
        if self.discrete:
            rows = np.arange(len(outputs))
            shifted = preferences - preferences.max(axis=1, keepdims=True)
            if greedy:
                actions = shifted.argmax(axis=1)
            else:  # the Gumbel-max trick: argmax(logit - log E), E ~ Exp(1), is a sample of the softmax
                noise = rng.standard_exponential(shifted.shape, dtype=np.float32)
                actions = (shifted - np.log(noise + TINY)).argmax(axis=1)
            return actions, shifted[rows, actions] - np.log(np.exp(shifted).sum(axis=1)), values
        log_std = self.log_std.detach().cpu().numpy()
        noise = np.zeros_like(preferences) if greedy else rng.standard_normal(preferences.shape, dtype=np.float32)
        log_probs = -(0.5 * noise**2 + log_std).sum(axis=1) - 0.5 * self.actions * log(2 * pi)
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
        if self.discrete:
            log_pi = preferences.log_softmax(dim=-1)
            return log_pi.gather(1, actions.long()[:, None])[:, 0], values, categorical_entropy(log_pi)
        noise = (actions - preferences) * torch.exp(-self.log_std)
        constant = 0.5 * self.actions * log(2 * pi) + self.log_std.sum()
        entropy = gaussian_entropy(self.log_std).expand(len(noise))
        return -0.5 * noise.square().sum(dim=-1) - constant, values, entropy

    def to_environment(self, actions: Array) -> Array:
        """What the environment receives: offset for discrete actions; clipped and scaled for continuous ones."""
        if self.discrete:
            return actions + self.first_action if self.first_action else actions
        return (self.centre + self.half_range * np.clip(actions, -1, 1)).astype(np.float32)

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


def _initialise(trunk: nn.Module, head: nn.Linear) -> None:
    """Orthogonal weights; nearly uniform first policy, so that the first clips show everything."""
    for module in trunk.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, 2**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.orthogonal_(head.weight, 1.0)
    with torch.no_grad():
        head.weight[:-1] *= 0.01
    nn.init.zeros_(head.bias)
