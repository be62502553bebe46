"""What a model that was not fitted to an answer says about it: held-out predictions from the store alone."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.audits.people._answers import Pairs, is_clip, read_pairs
from plaudit.audits.subject import Subject
from plaudit.functional.calibration import logistic, temper, temperature
from plaudit.functional.words import Sparse, Vocabulary, fit_linear
from plaudit.types import Array, Dialogue, Item, PlauditError, Segment

FOLDS = 5
FEWEST = 30  # pairs that a model is fitted to


def predict_held_out(subject: Subject) -> Array:
    """P[first better] (N,) of each pair of :func:`read_pairs`, by models that were not fitted to it; NaN for none."""

    def predict() -> Array:
        pairs = read_pairs(subject)
        predicted = predict_unseen_pairs(pairs, subject.config.seed)
        mask = np.isfinite(predicted)
        # Fitted to few answers a model is too sure, and each surprise would count too much.
        sharpness = temperature(predicted[mask], pairs.first_better[mask].astype(np.float64))
        predicted[mask] = temper(predicted[mask], sharpness)
        return predicted

    return subject.share("held out", predict)


def predict_unseen_pairs(pairs: Pairs, seed: int) -> Array:
    """As :func:`predict_held_out`, of any pairs, before temperature.

    Raises:
        PlauditError: there are too few, or clips that no small model can read.
    """
    if len(pairs) < FEWEST:
        raise PlauditError(f"there are {len(pairs)} decided pairs, and a model needs {FEWEST}: collect more answers")
    texts = pairs.texts
    if texts is not None:
        return predict_texts(texts, pairs.first_better, prompt_folds(pairs, seed))
    return _predict_clips(pairs, seed)


def prompt_folds(pairs: Pairs, seed: int) -> Array:
    """The fold (N,) of each pair of texts."""
    return np.array([_fold(pair[0], seed) for pair in pairs.items])


def predict_texts(
    texts: Sequence[tuple[str, str]], first_better: Array, folds: Array, weights: Array | None = None
) -> Array:
    """P[first better] (N,) of pairs of texts, by a linear model of words and length fitted to the other folds (N,).

    weights: (N,) of the pairs in the fit.
    """
    differences = text_differences(texts)
    predicted = np.full(len(texts), np.nan)
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(train):
            importance = None if weights is None else weights[train]
            weight = fit_linear(differences.take(train), first_better[train].astype(np.float64), weights=importance)
            predicted[test] = logistic(differences.take(test) @ weight)
    return predicted


def text_differences(texts: Sequence[tuple[str, str]]) -> Sparse:
    """Words of the first text minus those of the second, and in the last column the logarithm of their lengths."""
    vocabulary = Vocabulary.from_texts(text for pair in texts for text in pair)
    matrix = vocabulary.matrix([pair[0] for pair in texts]) - vocabulary.matrix([pair[1] for pair in texts])
    lengths = np.log1p([[len(text.split()) for text in pair] for pair in texts])
    rows, column = np.arange(len(texts)), matrix.shape[1]
    return Sparse(
        np.concatenate([matrix.row, rows]),
        np.concatenate([matrix.column, np.full(len(rows), column)]),
        np.concatenate([matrix.value, lengths[:, 0] - lengths[:, 1]]),
        (len(texts), column + 1),
    )


def _fold(item: Item, seed: int) -> int:
    """Answers to one prompt are in one fold: what was fitted to one would know the other."""
    assert isinstance(item, Dialogue)
    text = "\n".join(message.content for message in item.messages[:-1]) or item.id
    return zlib.crc32(f"{seed} {text}".encode()) % FOLDS


def _predict_clips(pairs: Pairs, seed: int) -> Array:
    """By the members of an ensemble that did not draw a pair."""
    return clip_models().predict(segments_of(pairs), pairs.first_better, seed)


def clip_models() -> Any:
    """The module of reward models of clips: torch takes seconds to import, and texts need none of it."""
    return importlib.import_module("plaudit.audits.people._clips")


def segments_of(pairs: Pairs) -> list[tuple[Segment, Segment]]:
    """The clips of each pair.

    Raises:
        PlauditError: they are pictures.
    """
    if not all(is_clip(item) for pair in pairs.items for item in pair):
        raise PlauditError("clips of pictures need a model of pictures, which takes minutes: not measured")
    return [
        (first, second) for first, second in pairs.items if isinstance(first, Segment) and isinstance(second, Segment)
    ]
