"""Ranked responses of other tools' files, as a ranking holds them."""

from __future__ import annotations

from collections.abc import Iterable

from plaudit.types import Dialogue

MOST = 9  # items in a ranking


def rank_responses(ranked: Iterable[tuple[int, Dialogue]]) -> tuple[list[Dialogue], list[int]]:
    """The best nine of several responses in the order of the file, and their ranks without gaps, 1 the best.

    A response that stands there twice has the better of its ranks.
    """
    best_rank: dict[str, tuple[int, Dialogue]] = {}
    for rank, response in ranked:
        if response.id not in best_rank or rank < best_rank[response.id][0]:
            best_rank[response.id] = (rank, response)
    best = sorted(best_rank.values(), key=lambda pair: pair[0])[:MOST]
    in_order = [pair for pair in best_rank.values() if pair in best]
    numbers = sorted({rank for rank, _ in in_order})
    return [response for _, response in in_order], [numbers.index(rank) + 1 for rank, _ in in_order]
