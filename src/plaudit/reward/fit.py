"""Fitting the reward ensemble to comparisons: every member and every pair of a minibatch in one batched pass."""

from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from plaudit.functional.groups import group_losses, raise_worst, shared_loss
from plaudit.functional.intervals import poisson_counts
from plaudit.functional.preference import bradley_terry, bradley_terry_loss
from plaudit.reward.ensemble import RewardConfig, RewardEnsemble
from plaudit.reward.heads import Mixture, mix_heads, named_heads
from plaudit.types import Array

RATIO = (1.1, 1.5)  # Christiano et al. 2017, appendix A.1: keep held-out / training loss between these
GROUP_STEP = 0.05  # of the groups' shares, in each gradient step: the paper has 0.01 for ten times as many steps
STEP = 1.05  # factor by which L2 moves, once a pass


@dataclass(frozen=True, eq=False)
class Comparisons:
    """``N`` judged pairs of segments in contiguous arrays."""

    observations: Array  # (N, 2, L, *observation)
    actions: Array  # (N, 2, L) or (N, 2, L, A)
    mu: Array  # (N,) float32: P[first better] as judged; ties are 0.5, can't-tell never gets here
    weights: Array  # (M, N) float32: bootstrap counts; 0 means held out from that member
    values: Array | None = None  # (N, 2, 2) float32: the critic's V at each segment's first and last step
    annotators: tuple[str, ...] | None = None  # (N,) names

    def __post_init__(self) -> None:
        count = len(self.mu)
        if self.observations.shape[:2] != (count, 2) or self.actions.shape[:2] != (count, 2):
            raise ValueError(f"Comparisons: observations and actions must start with (N, 2) = ({count}, 2)")
        if self.weights.ndim != 2 or self.weights.shape[1] != count:
            raise ValueError(f"Comparisons.weights must be (M, {count}), got {self.weights.shape}")
        if self.annotators is not None and len(self.annotators) != count:
            raise ValueError(f"Comparisons.annotators must be ({count},), got {len(self.annotators)}")
        if count and not ((self.mu >= 0) & (self.mu <= 1)).all():
            raise ValueError("Comparisons.mu must lie in [0, 1]")

    def __len__(self) -> int:
        return len(self.mu)


def bootstrap_weights(pairs: list[tuple[str, str]], members: int, seed: int) -> Float[np.ndarray, "members N"]:
    """A Poisson(1) bootstrap by clusters of pairs that share a segment.

    P(0) = 1/e: what a member never drew is the paper's hold-out of 1/e, for free. The count is a function of
    (seed, the cluster's first segment), so that it survives a refit on more answers: a held-out pair stays held
    out, unless a later pair joins two clusters. Clusters, not pairs, are drawn: otherwise the same segment would
    stand on both sides of the split.
    """
    parent: dict[str, str] = {}
    age = {item: index for index, item in reversed(list(enumerate(item for pair in pairs for item in pair)))}

    def root(item: str) -> str:
        while parent.setdefault(item, item) != item:
            item = parent[item]
        return item

    for first, second in pairs:
        older, younger = sorted((root(first), root(second)), key=age.__getitem__)
        parent[younger] = older
    weights = np.empty((members, len(pairs)), np.float32)
    for index, (first, _) in enumerate(pairs):
        cluster = int(root(first)[:16], 16)
        weights[:, index] = poisson_counts(members, seed, cluster)
    return weights


def fit(model: RewardEnsemble, data: Comparisons, epochs: int, seed: int) -> dict[str, float]:
    """Minimise the cross-entropy of ``data`` in place; returns metrics (nats, shares).

    The same pass that trains a member on what it drew scores it on what it did not (its gradient weight is 0
    there), so adaptive L2 costs nothing. Losses are means over their own pairs: sums over unequal numbers would
    make the ratio meaningless.
    """
    config, device = model.config, model.lapse_logit.device
    model.set_range(data.observations.reshape(-1, *data.observations.shape[3:]))
    tensors = {
        "observations": torch.from_numpy(data.observations),
        "actions": torch.from_numpy(data.actions),
        "mu": torch.from_numpy(data.mu.astype(np.float32)),
        "weights": torch.from_numpy(data.weights).T.contiguous(),
    }
    if data.values is not None:
        tensors["values"] = torch.from_numpy(data.values)
    tensors |= _groups(model, data)
    shares = _equal_shares(model, tensors)
    mixture = Mixture(model, data.annotators) if config.objective == "mixture" else None
    generator = torch.Generator().manual_seed(seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    network = list(model.network.parameters())
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from the default generator
        for _ in range(epochs):
            if mixture is not None:
                tensors["heads"] = mixture.expect(head_losses(model, data))
                mixture.update_shares(tensors["heads"])
            model.train()
            sums = torch.zeros(4, device=device)  # training loss and weight, held-out loss and weight
            for rows in torch.randperm(len(data), generator=generator).split(config.batch):
                batch = {name: value[rows].to(device, non_blocking=True) for name, value in tensors.items()}
                losses = _losses(model, batch)
                weights = batch["weights"].T
                held_out = (weights == 0).to(losses.dtype)
                train = (weights * losses).sum()
                weight = weights.sum().clamp_min(1)
                decay = torch.stack([p.square().sum() for p in network]).sum()
                optimiser.zero_grad(set_to_none=True)
                loss = train / weight * config.members
                if shares is not None:
                    means, totals = group_losses(losses, weights, batch["groups"], shares.shape[1])
                    shares = raise_worst(shares, means, GROUP_STEP)
                    loss = shared_loss(means, totals, shares).sum()
                (loss + model.l2 * decay).backward()
                optimiser.step()
                with torch.no_grad():
                    sums += torch.stack((train, weight, (held_out * losses).sum(), held_out.sum()))
            _adapt_l2(model, sums)
    model.fits += 1
    return evaluate(model, data)


def fit_anew(data: Comparisons, config: RewardConfig, epochs: int, seed: int) -> RewardEnsemble:
    """A new reward model of the comparisons' observations, which must be rows of numbers, fitted to them."""
    width, actions = data.observations.shape[-1], data.actions
    discrete = np.issubdtype(actions.dtype, np.integer) and actions.ndim == 3
    action_space = (
        spaces.Discrete(int(actions.max()) + 1) if discrete else spaces.Box(-np.inf, np.inf, actions.shape[3:])
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RewardEnsemble(spaces.Box(-np.inf, np.inf, (width,)), action_space, config)
        model.set_normaliser(data.observations.reshape(-1, width))
        fit(model, data, epochs, seed)
    return model


@torch.inference_mode()
def clip_returns(model: RewardEnsemble, observations: Array, actions: Array) -> Array:
    """Mean return (N,) of clips (N, L, F) over the members, raw."""
    count, length = observations.shape[:2]
    steps = (torch.from_numpy(array.reshape(count * length, *array.shape[2:])) for array in (observations, actions))
    return model.eval()(*steps).mean(dim=0).view(count, length).sum(dim=1).numpy()


def _groups(model: RewardEnsemble, data: Comparisons) -> dict[str, Tensor]:
    """What the objective needs of the answers' groups: the number of each (N,), or the weight of each head (N, H)."""
    config = model.config
    if config.objective == "worst-group":
        if data.annotators is None:
            raise ValueError("the worst-group objective needs Comparisons.annotators")
        names = [config.group_of(name) for name in data.annotators]
        number = {name: index for index, name in enumerate(sorted(set(names)))}
        return {"groups": torch.tensor([number[name] for name in names])}
    return {"heads": named_heads(config, data.annotators)} if config.objective == "heads" else {}


def _equal_shares(model: RewardEnsemble, tensors: dict[str, Tensor]) -> Float[Tensor, "members G"] | None:
    """Where the shares of the groups begin; None without groups."""
    groups = tensors.get("groups")
    if groups is None or not len(groups):
        return None
    count = int(groups.max()) + 1
    return torch.full((model.config.members, count), 1 / count, device=model.lapse_logit.device)


def _losses(model: RewardEnsemble, batch: dict[str, Tensor]) -> Float[Tensor, "members N"]:
    delta = _delta(model, batch)
    mu = torch.lerp(batch["mu"], torch.full_like(batch["mu"], 0.5), model.config.smoothing)
    return mix_heads(bradley_terry_loss(delta, mu.expand_as(delta), model.lapse), batch.get("heads"))


def _delta(model: RewardEnsemble, batch: dict[str, Tensor]) -> Float[Tensor, "heads members N"]:
    observations, actions = batch["observations"], batch["actions"]
    count, _, length = observations.shape[:3]
    rewards = model.head_rewards(observations.flatten(0, 2), actions.flatten(0, 2))
    if len(rewards) == 1:
        statistic = model.statistic(rewards[0].view(-1, count, 2, length), batch.get("values")).unsqueeze(0)
    else:  # only partial returns have groups
        statistic = model.statistic(rewards.reshape(*rewards.shape[:2], count, 2, length), None)
    return statistic[..., 0] - statistic[..., 1]


def _adapt_l2(model: RewardEnsemble, sums: Tensor) -> None:
    train, weight, held_out_loss, count = sums.tolist()
    if not count or not weight or not train:
        return
    ratio = (held_out_loss / count) / (train / weight)
    factor = STEP if ratio > RATIO[1] else 1 / STEP if ratio < RATIO[0] else 1.0
    model.l2.mul_(factor).clamp_(1e-7, 1e-1)


@torch.inference_mode()
def _deltas(model: RewardEnsemble, data: Comparisons, chunk: int = 512) -> Float[Tensor, "heads members N"]:
    """By how much each member's statistic of the first segment is larger, for every pair, by each head."""
    model.eval()
    device, parts = model.lapse_logit.device, []
    for start in range(0, len(data), chunk):
        rows = slice(start, start + chunk)
        batch = {
            "observations": torch.from_numpy(data.observations[rows]).to(device),
            "actions": torch.from_numpy(data.actions[rows]).to(device),
        }
        if data.values is not None:
            batch["values"] = torch.from_numpy(data.values[rows]).to(device)
        parts.append(_delta(model, batch).cpu())
    return torch.cat(parts, dim=-1)


def head_losses(model: RewardEnsemble, data: Comparisons) -> Float[Tensor, "heads members N"]:
    """Cross-entropy in nats of every answer by each head."""
    return _head_losses(_deltas(model, data), data, float(model.lapse.detach()))


def _head_losses(delta: Tensor, data: Comparisons, lapse: float) -> Float[Tensor, "heads members N"]:
    return bradley_terry_loss(delta.double(), torch.from_numpy(data.mu).double().expand_as(delta), lapse)


def _head_weights(model: RewardEnsemble, data: Comparisons, delta: Tensor) -> Float[Tensor, "N heads"] | None:
    """Whose reward predicts each answer: the group's of its annotator, as told or as their other answers tell."""
    if model.config.objective == "mixture":
        losses = _head_losses(delta, data, float(model.lapse.detach()))
        return Mixture(model, data.annotators).expect(losses, leave_one_out=True).double()
    return _groups(model, data)["heads"].double() if model.config.objective == "heads" else None


def predictions(model: RewardEnsemble, data: Comparisons, lapse: float = 0.0) -> Float[np.ndarray, "members N"]:
    """P[first better] of every member for every pair, by the reward of the annotator's group."""
    delta = _deltas(model, data)
    heads = _head_weights(model, data, delta)
    return mix_heads(bradley_terry(delta, lapse), None if heads is None else heads.to(delta.dtype)).numpy()


def predict_unseen(model: RewardEnsemble, data: Comparisons, lapse: float = 0.0) -> tuple[Array, Array]:
    """Which pairs (N,) a member did not train on; and those members' mean P[first better] of each such pair (n,)."""
    unseen_mask = data.weights == 0
    rows = unseen_mask.any(axis=0)
    return rows, (predictions(model, data, lapse) * unseen_mask).sum(axis=0)[rows] / unseen_mask.sum(axis=0)[rows]


def held_out(model: RewardEnsemble, data: Comparisons) -> tuple[Array, Array]:
    """(P, mu), each (n,): the mean prediction of the members that did not train on a pair, lapse included."""
    rows, mean = predict_unseen(model, data, float(model.lapse.detach()))
    return mean, data.mu[rows]


def evaluate(model: RewardEnsemble, data: Comparisons) -> dict[str, float]:
    """Training and held-out loss (nats), held-out accuracy (ties left out), L2 and lapse rate."""
    lapse = float(model.lapse.detach())
    delta = _deltas(model, data).double()
    heads = _head_weights(model, data, delta)
    losses = mix_heads(_head_losses(delta, data, lapse), heads).numpy()
    unseen_mask = data.weights == 0
    right = (mix_heads((delta > 0).double(), heads) > 0.5).numpy() == (data.mu > 0.5)
    judged = unseen_mask & (data.mu != 0.5)
    return {
        "reward_loss": float((losses * data.weights).sum() / max(data.weights.sum(), 1)),
        "holdout_loss": float(losses[unseen_mask].mean()) if unseen_mask.any() else float("nan"),
        "holdout_accuracy": float(right[judged].mean()) if judged.any() else float("nan"),
        "l2": float(model.l2),
        "lapse": lapse,
    }
