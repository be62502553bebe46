"""Majority vote and Dawid-Skene: values worked by hand, invariants, recovery, and beside crowd-kit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from plaudit.feedback.quality import Ratings, dawid_skene, majority_vote
from plaudit.types import Array, PlauditError


def crowd(
    seed: int, confusion: Array, items: int = 300, each: int = 5, prior: Array | None = None
) -> tuple[Ratings, Array]:
    """Items judged by ``each`` annotators drawn at random, who err as ``confusion`` (A, C, C) says; and the truth."""
    rng = np.random.default_rng(seed)
    annotators, size = confusion.shape[:2]
    truth = rng.choice(size, items, p=prior)
    who = np.argsort(rng.random((items, annotators)), axis=1)[:, :each].ravel()
    item = np.repeat(np.arange(items), each)
    said = (rng.random((len(item), 1)) > confusion[who, truth[item]].cumsum(axis=1)).sum(axis=1)
    said = np.minimum(said, size - 1)
    names = tuple(map(str, range(max(items, annotators))))
    return Ratings(item, who, said, names[:items], names[:annotators], names[:size], np.arange(size) * 1.0), truth


def skilled(accuracies: list[float], size: int = 3) -> Array:
    """Annotators who err evenly, (A, C, C)."""
    right = np.array(accuracies)[:, None, None]
    return np.where(np.eye(size, dtype=bool), right, (1 - right) / (size - 1))


def frame(peer: Callable[[str], Any], ratings: Ratings) -> Any:
    """What crowd-kit reads."""
    return peer("pandas").DataFrame({"task": ratings.item, "worker": ratings.annotator, "label": ratings.category})


# --- majority vote -------------------------------------------------------------------------------------------------

VOTES = Ratings(
    np.array([0, 0, 0, 1, 1]),
    np.array([0, 1, 2, 0, 1]),
    np.array([1, 1, 0, 1, 0]),
    ("a", "b", "nobody judged this"),
    ("x", "y", "z"),
    ("0", "1"),
    np.array([0.0, 1.0]),
)


def test_majority_by_hand() -> None:
    vote = majority_vote(VOTES)
    assert vote.label.tolist() == [1, 0, -1]  # item 1 is tied: the lower category
    assert vote.tied.tolist() == [False, True, False]
    np.testing.assert_allclose(vote.share, [[1 / 3, 2 / 3], [1 / 2, 1 / 2], [0, 0]])


def test_weights_count_votes() -> None:
    vote = majority_vote(VOTES, np.array([1.0, 0.5, 3.0]))
    # Item 0: 3 for category 0 against 1.5; item 1: 1 for category 1 against 0.5.
    assert vote.label.tolist() == [0, 1, -1]
    np.testing.assert_allclose(vote.share[:2], [[3 / 4.5, 1.5 / 4.5], [0.5 / 1.5, 1 / 1.5]])
    assert not vote.tied.any()


@pytest.mark.filterwarnings("ignore")
def test_majority_beside_crowd_kit(peer: Callable[[str], Any]) -> None:
    ratings, _ = crowd(0, skilled([0.7] * 7))
    theirs = peer("crowdkit.aggregation").MajorityVote().fit(frame(peer, ratings))
    ours = majority_vote(ratings)
    np.testing.assert_allclose(ours.share, theirs.probas_.sort_index().sort_index(axis=1).to_numpy(), atol=1e-12)
    clear = ~ours.tied
    assert (ours.label == theirs.labels_.sort_index().to_numpy())[clear].all()


# --- Dawid-Skene ---------------------------------------------------------------------------------------------------


def test_one_step_by_hand() -> None:
    """Two items, said (0, 0, 1) and (1, 1, 1); posterior starts from the votes, (2/3, 1/3) and (0, 1).

    M step: prior (1/3, 2/3). Annotators 0 and 1, true 0: always says 0. True 1: 1/3 of an item said 0, one item said 1,
    so (1/4, 3/4). Annotator 2 always says 1. E step, item 0: 1/3 against 2/3 * 1/4 * 1/4 = 1/24, so (8/9, 1/9);
    item 1: 0 against 2/3 * 9/16 = 3/8. Likelihood (1/3 + 1/24) * 3/8 = (3/8)^2.
    """
    ratings = Ratings.from_numbers(np.repeat([0, 1], 3), np.tile([0, 1, 2], 2), np.array([0, 0, 1, 1, 1, 1]))
    result = dawid_skene(ratings, smoothing=0.0, iterations=1)
    np.testing.assert_allclose(result.prior, [1 / 3, 2 / 3])
    np.testing.assert_allclose(result.confusion[0], [[1, 0], [1 / 4, 3 / 4]])
    np.testing.assert_allclose(result.confusion[2], [[0, 1], [0, 1]])
    np.testing.assert_allclose(result.posterior, [[8 / 9, 1 / 9], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(result.log_likelihood, [2 * np.log(3 / 8)])
    np.testing.assert_allclose(result.accuracy, [1 / 3 + 2 / 3 * 3 / 4] * 2 + [2 / 3])
    assert not result.converged


@pytest.mark.parametrize("smoothing", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_likelihood_never_falls(seed: int, smoothing: float) -> None:
    ratings, _ = crowd(seed, skilled([0.9, 0.4, 0.6, 0.34, 0.8, 0.2]), items=60, each=4)
    result = dawid_skene(ratings, smoothing=smoothing, tolerance=0.0, iterations=300)
    steps = np.diff(result.log_likelihood)
    assert (steps >= -1e-9).all()
    np.testing.assert_allclose(result.posterior.sum(axis=1), 1)
    np.testing.assert_allclose(result.confusion.sum(axis=2), 1)


@pytest.mark.filterwarnings("ignore")
def test_dawid_skene_beside_crowd_kit(peer: Callable[[str], Any]) -> None:
    """Posteriors to 1e-4 and confusion to 1e-3: crowd-kit clips errors at 1e-10 and stops by another rule."""
    ratings, _ = crowd(1, skilled([0.95, 0.85, 0.7, 0.5, 0.9, 0.6, 0.75]), items=400)
    theirs = peer("crowdkit.aggregation").DawidSkene(n_iter=500, tol=1e-12).fit(frame(peer, ratings))
    ours = dawid_skene(ratings, smoothing=0.0, tolerance=1e-14, iterations=500)
    np.testing.assert_allclose(ours.posterior, theirs.probas_.sort_index().sort_index(axis=1).to_numpy(), atol=1e-4)
    np.testing.assert_allclose(ours.prior, theirs.priors_.sort_index().to_numpy(), atol=1e-4)
    errors = theirs.errors_.sort_index().sort_index(axis=1).to_numpy().reshape(7, 3, 3)  # worker, said, true
    np.testing.assert_allclose(ours.confusion, errors.transpose(0, 2, 1), atol=1e-3)
    assert (ours.label == theirs.labels_.sort_index().to_numpy()).all()


def test_recovers_who_errs_how() -> None:
    """3,000 items: each entry of each confusion within 0.05, priors within 0.02; and it beats the majority."""
    rng = np.random.default_rng(2)
    confusion = 0.45 * np.eye(3) + 0.55 * rng.dirichlet(np.ones(3), (8, 3))
    confusion[7] = [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]  # mixes up two categories, systematically
    prior = np.array([0.5, 0.3, 0.2])
    ratings, truth = crowd(3, confusion, items=3000, each=6, prior=prior)
    result = dawid_skene(ratings)
    assert result.converged
    np.testing.assert_allclose(result.confusion, confusion, atol=0.05)
    np.testing.assert_allclose(result.prior, prior, atol=0.02)
    right, majority = (result.label == truth).mean(), (majority_vote(ratings).label == truth).mean()
    assert right > majority + 0.03


def test_names_do_not_matter() -> None:
    ratings, _ = crowd(4, skilled([0.9, 0.5, 0.7, 0.8]), items=80, each=3)
    rng = np.random.default_rng(0)
    to_item, to_annotator = rng.permutation(80), rng.permutation(4)
    to_category, rows = rng.permutation(3), rng.permutation(240)
    renamed = Ratings.from_numbers(
        to_item[ratings.item][rows], to_annotator[ratings.annotator][rows], to_category[ratings.category][rows]
    )
    before, after = dawid_skene(ratings), dawid_skene(renamed)
    np.testing.assert_allclose(after.posterior[to_item][:, to_category], before.posterior, atol=1e-6)
    np.testing.assert_allclose(after.accuracy[to_annotator], before.accuracy, atol=1e-6)


def test_gold_turns_a_crowd_around() -> None:
    """Most people here answer upside down. Without gold they are believed; forty known items set it right."""
    ratings, truth = crowd(5, skilled([0.15, 0.15, 0.15, 0.9, 0.9], size=2), items=200, each=5)
    gold = np.full(200, -1)
    gold[:40] = truth[:40]
    rest = slice(40, None)
    assert (dawid_skene(ratings).label == truth)[rest].mean() < 0.3
    with_gold = dawid_skene(ratings, gold=gold)
    assert (with_gold.label[:40] == truth[:40]).all()
    assert (with_gold.label == truth)[rest].mean() > 0.95


def test_somebody_who_judged_nothing_is_no_trouble() -> None:
    result = dawid_skene(VOTES, smoothing=0.0)
    np.testing.assert_allclose(result.posterior[2], result.prior)  # nobody judged it: as likely as any item
    assert np.isfinite(result.log_likelihood).all()


def test_refusals() -> None:
    with pytest.raises(PlauditError, match="two categories or more, got 1 in 1"):
        dawid_skene(Ratings.from_names(["a"], ["x"], ["0"]))
    with pytest.raises(PlauditError, match="smoothing >= 0"):
        dawid_skene(VOTES, smoothing=-1.0)
    with pytest.raises(PlauditError, match=r"gold must have the shape \(3,\)"):
        dawid_skene(VOTES, gold=np.array([0]))
    with pytest.raises(PlauditError, match=r"gold must hold whole numbers in -1\.\.1"):
        dawid_skene(VOTES, gold=np.array([0, 2, -1]))
    with pytest.raises(PlauditError, match="finite and not negative"):
        majority_vote(VOTES, np.array([1.0, -1.0, 0.0]))
