"""The numbers that a study of two models reports, from the store of its judgements.

python docs/study.py study/feedback.sqlite sums large small
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np

import plaudit
from plaudit.feedback.quality import Ratings, krippendorff_alpha, percent_agreement


def main(file: str, project: str, model: str, baseline: str) -> None:
    """Print the win rate of ``model`` over ``baseline``, the agreement, and what they rest on."""
    with plaudit.Store(file) as store:
        rows = [row for row in store.judgements("comparison", project=project) if row["preference"] is not None]
    if not rows:
        sys.exit(f"no comparison of project {project} has been judged")
    wins: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if set(row["models"]) != {model, baseline}:
            sys.exit(f"question {row['question']} compares {row['models']}, not {model} with {baseline}")
        wins[row["question"]].append(row["preference"] if row["models"][0] == model else 1 - row["preference"])
    shares = np.array([np.mean(judgements) for judgements in wins.values()])
    rng = np.random.default_rng(0)
    means = rng.choice(shares, (10_000, len(shares))).mean(axis=1)  # questions are drawn, not judgements
    low, high = np.quantile(means, [0.025, 0.975])
    questions, annotators = ([row[column] for row in rows] for column in ("question", "annotator"))
    ratings = Ratings.from_names(questions, annotators, [f"{row['preference']:.3f}" for row in rows])
    alpha = krippendorff_alpha(ratings, "ordinal", rng)
    seconds = np.median([row["submitted_at"] - row["shown_at"] for row in rows])
    print(f"{len(wins)} questions, {len(rows)} judgements by {len(set(annotators))} annotators, {seconds:.1f} s each")
    print(f"{model} preferred to {baseline}: {shares.mean():.1%} ({low:.1%} to {high:.1%}), a tie counts one half")
    print(
        f"same answer: {percent_agreement(ratings):.1%}; alpha {alpha.alpha:.2f} ({alpha.low:.2f} to {alpha.high:.2f})"
    )


if __name__ == "__main__":
    main(*sys.argv[1:5])
