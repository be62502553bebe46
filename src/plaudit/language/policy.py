"""The language model as a policy: log-probabilities and values of what it wrote, and experience in (B, T)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.language.fast.decode import sample
from plaudit.language.fast.frozen_cache import place_states
from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Rows, Tokens, Tree, batches, lay, pack_rows, split
from plaudit.language.sampling import Samples, SamplingConfig
from plaudit.types import Array, PlauditError, Trajectory

BUDGET = 2048  # padded tokens that go through the model at once


@dataclass(frozen=True, eq=False)
class Batch:
    """Trees that go through the model together."""

    rows: Rows
    lower: Tensor | None  # what the frozen layers made of them, where some are frozen
    completions: Array  # (C,) int64: which rows of the trajectory the completions are
    trunk: LanguageModel | None  # whose frozen layers those were
    trees: tuple[Tree, ...]

    def lower_of(self, model: LanguageModel) -> Tensor | None:
        """What the frozen layers of ``model`` make of the rows: computed only if they are other ones."""
        if not model.frozen:
            return None
        if self.lower is not None and self.trunk is not None and model.shares_lower(self.trunk):
            return self.lower
        return model.lower(self.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class Completions(Trajectory):
    """Experience of a language model: an action is a token, an observation the token before it.

    The end of a completion is visible, so that V after it is 0. The reference is the model that training started from.
    """

    prompts: tuple[Tokens, ...]  # of each of the B completions
    groups: Array  # (B,) int64: completions with one number answer one prompt
    reference_log_probs: Array | None  # (B, T) float32; None: it was not compared with the reference
    sampled_log_probs: Array  # (B, T) float32: as the decoder computed them, to be held against log_probs
    finished: Array  # (B,) bool: by the token that ends, not by the limit
    batches: tuple[Batch, ...]


class TokenPolicy(nn.Module):
    """pi(token | prefix) and V(prefix) on one trunk, and the reference that they started from."""

    def __init__(self, model: LanguageModel, temperature: float = 1.0, budget: int = BUDGET) -> None:
        """temperature: what is sampled with, so that these are the probabilities of what is sampled.

        budget: padded tokens that go through the model at once, in learning too.
        """
        super().__init__()
        self.model, self.temperature, self.budget = model, temperature or 1.0, budget
        self.reference = model.twin()
        self.value = nn.Linear(model.width, 1, device=model.device)
        nn.init.zeros_(self.value.weight)  # as far from a guess as it gets: V = 0 until something was learned
        nn.init.zeros_(self.value.bias)

    def pieces(self, experience: Completions) -> Groups:
        """The batches of the experience, regrouped by prompt where a minibatch is a share of the prompts."""
        return Groups(experience, self.budget, self.model.device)

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor, None]:
        """log pi (N,) and V (N,) float32 of the tokens of a batch's completions, with gradients; no entropy."""
        rows = batch.rows
        with self.model.precision():
            hidden = self.model.hidden(rows, batch.lower).flatten(0, 1)[rows.sources]
            log_probs = token_log_probs(hidden, self.model.output, rows.targets, self.temperature)
        with torch.autocast(hidden.device.type, enabled=False):  # whoever calls may be in the lower precision
            return log_probs, self.value(hidden.to(self.value.weight.dtype))[:, 0], None

    @torch.no_grad()
    def reference_log_probs(self, batch: Batch) -> Tensor:
        """log pi_ref (N,) of the same tokens, under the same temperature."""
        rows = batch.rows
        with self.reference.precision():
            hidden = self.reference.hidden(rows, batch.lower).flatten(0, 1)[rows.sources]
            return token_log_probs(hidden, self.reference.output, rows.targets, self.temperature)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that may learn, those of the value function last."""
        return [*self.model.trainable_parameters(), *self.value.parameters()]


class Groups:
    """The batches of an experience as pieces of an update; see :class:`plaudit.policy.improve.Pieces`.

    An update takes prompts, drawn without repeats, with all their completions. Batches are of similar length and as
    large as memory allows, so no batch is a sample of the whole.
    """

    def __init__(self, experience: Completions, budget: int, device: torch.device) -> None:
        """budget: padded tokens of a batch."""
        self.experience, self.budget, self.device = experience, budget, device
        self.mask = torch.from_numpy(experience.mask)

    def arrange(self, values: Tensor) -> Tensor:
        """(B, T) as it is: :meth:`take` masks."""
        return values

    def updates(self, count: int, generator: torch.Generator) -> Iterator[Sequence[Batch]]:
        """One pass over the prompts in at most ``count`` updates."""
        experience = self.experience
        prompts = int(experience.groups.max()) + 1
        count = min(count, prompts)
        if count == 1:
            yield experience.batches
            return
        order = torch.randperm(prompts, generator=generator).numpy()
        for share in np.array_split(order, count):
            yield regroup(experience.batches, np.isin(experience.groups, share), self.budget)

    def take(self, arranged: Tensor, piece: Batch) -> Tensor:
        """(N,) of the tokens of the piece's completions."""
        rows = torch.from_numpy(piece.completions)
        return arranged[rows][self.mask[rows]].to(self.device)

    def size(self, piece: Batch) -> int:
        """The number of tokens that the piece's completions have."""
        return len(piece.rows.targets)


def iterate_batches(
    model: LanguageModel, trees: Sequence[Tree], budget: int = BUDGET, widest: int | None = None, keep: bool = False
) -> Iterator[tuple[list[int], Rows, Tensor | None]]:
    """Trees as batches of like length: which they are, their rows, and what the frozen layers make of them.

    widest: let trees share rows of so many tokens instead. keep: the trees will come again, so let the model keep what
    its frozen layers make of them.

    Raises:
        PlauditError: a sequence is longer than the model can take.
    """
    longest = max((len(tree.prompt) + max(map(len, tree.completions), default=0) for tree in trees), default=0)
    if longest > model.reach:
        raise PlauditError(
            f"a text of {longest} tokens is longer than the {model.reach} that the model takes: cut the text"
        )
    lengths = [len(tree) for tree in trees]
    for indices in batches(lengths, budget) if widest is None else pack_rows(lengths, widest, budget):
        members = [trees[index] for index in indices]
        rows = lay(members, widest).to(model.device)
        with model.precision():
            yield indices, rows, model.lower(rows, members if keep else None) if model.frozen else None


class Writer:
    """A collector whose environment is a set of prompts: it draws some, and writes ``n`` completions of each."""

    def __init__(
        self,
        policy: TokenPolicy,
        prompts: Sequence[Tokens],
        sampling: SamplingConfig,
        n: int = 1,
        progress: Callable[[int], None] | None = None,
        compare: bool = True,
    ) -> None:
        """compare: as in :func:`experience`."""
        self.policy, self.prompts, self.sampling, self.n, self.progress = policy, prompts, sampling, n, progress
        self.compare = compare
        self.rng = np.random.default_rng(0)
        self.generator = torch.Generator(policy.model.device)
        self.rollout = 0

    def reset(self, seed: np.random.SeedSequence) -> None:
        """Draw prompts and completions from this seed on; a round has its own."""
        prompts, tokens = seed.spawn(2)
        self.rng = np.random.default_rng(prompts)
        self.generator.manual_seed(int(tokens.generate_state(1)[0]))

    def collect(self, steps: int) -> Completions:
        """Completions of ``steps`` prompts, drawn without repeats while they last."""
        count = len(self.prompts)
        chosen = np.concatenate([self.rng.permutation(count) for _ in range(-(-steps // count))])[:steps]
        prompts = [self.prompts[index] for index in chosen]
        sampled = sample(self.policy.model, prompts, self.sampling, self.generator, self.n, self.progress)
        self.rollout += 1
        return experience(self.policy, prompts, sampled, self.n, self.rollout, self.compare)


@torch.no_grad()
def experience(
    policy: TokenPolicy, prompts: Sequence[Tokens], sampled: Samples, n: int, rollout: int, compare: bool = True
) -> Completions:
    """The sampled completions as a trajectory, with log-probabilities and values from the forward of training.

    They are computed again, not taken from the decoder: its arithmetic differs in the last bits, and the first
    minibatch must see a ratio of exactly 1.

    compare: False leaves out both forwards, and with them the reference and the values: for one update without a KL
    penalty, which needs neither. The log-probabilities are then the decoder's.
    """
    texts = sampled.completions()
    whole = [Tree(prompt, tuple(texts[n * index : n * index + n])) for index, prompt in enumerate(prompts)]
    trees = split(whole, policy.budget)
    begins = np.cumsum([0, *(len(tree.completions) for tree in trees)])
    log_probs = sampled.log_probs.copy()
    values, reference = (np.zeros(log_probs.shape, np.float32) for _ in range(2))
    collected: list[Batch] = []
    for indices, rows, lower in iterate_batches(policy.model, trees, policy.budget):
        completions = np.concatenate([np.arange(begins[index], begins[index + 1]) for index in indices])
        batch = Batch(rows, lower, completions, policy.model, tuple(trees[index] for index in indices))
        collected.append(batch)
        if not compare:
            continue
        log_prob, value, _ = policy.evaluate(batch)
        for array, flat in ((log_probs, log_prob), (values, value), (reference, policy.reference_log_probs(batch))):
            fill(array, sampled.mask, completions, flat)
    last = sampled.mask & ~np.pad(sampled.mask[:, 1:], ((0, 0), (0, 1)))
    before = np.concatenate(
        (np.array([prompts[i // n][-1] for i in range(len(texts))])[:, None], sampled.tokens[:, :-1]), 1
    )
    following = np.where(last, 0.0, np.pad(values[:, 1:], ((0, 0), (0, 1)))).astype(np.float32)
    return Completions(
        observations=before,
        actions=sampled.tokens,
        log_probs=log_probs,
        values=values,
        next_values=following,
        ends=last,
        mask=sampled.mask,
        rollout=rollout,
        prompts=tuple(prompts[index // n] for index in range(len(texts))),
        groups=np.arange(len(texts)) // n,
        reference_log_probs=reference if compare else None,
        sampled_log_probs=sampled.log_probs,
        finished=sampled.finished,
        batches=tuple(collected),
    )


def regroup(experience: Sequence[Batch], chosen: Array, budget: int = BUDGET) -> list[Batch]:
    """Batches of the trees whose completions are ``chosen`` (B,) bool, and of no others.

    The states of the frozen layers are copied to the new positions, not computed again.
    """
    parts: list[tuple[Tree, Array, Batch, int]] = []  # and where the tree began
    for batch in experience:
        ends = np.cumsum([len(tree.completions) for tree in batch.trees])
        completions = np.split(batch.completions, ends[:-1])
        for tree, rows_of_tree, begin in zip(batch.trees, completions, batch.rows.begins.tolist(), strict=True):
            if chosen[rows_of_tree].all():
                parts.append((tree, rows_of_tree, batch, begin))
    result: list[Batch] = []
    for indices in batches([len(tree) for tree, *_ in parts], budget):
        members = [parts[index] for index in indices]
        trees, first = tuple(tree for tree, *_ in members), members[0][2]
        rows, lower = lay(trees).to(first.rows.tokens.device), None
        if first.lower is not None:
            states = [batch.lower.flatten(0, 1) for _, _, batch, _ in members if batch.lower is not None]
            spans = [slice(begin, begin + len(tree)) for tree, _, _, begin in members]
            lower = place_states([state[span] for state, span in zip(states, spans, strict=True)], rows)
        result.append(
            Batch(rows, lower, np.concatenate([rows_of_tree for _, rows_of_tree, *_ in members]), first.trunk, trees)
        )
    return result


def fill(array: Array, mask: Array, rows: Array, flat: Tensor) -> None:
    """Write values (N,) of the completions ``rows``, token after token, to their places in ``array`` (B, T)."""
    part = np.zeros((len(rows), mask.shape[1]), array.dtype)
    part[mask[rows]] = flat.float().cpu().numpy()
    array[rows] = part
