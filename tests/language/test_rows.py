"""Rows: a prompt shared by its completions gives what separate sequences give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plaudit.language.fast.vocabulary import token_log_probs
from plaudit.language.models import LanguageModel
from plaudit.language.rows import Tree, batches, lay, pad_sequences, split
from plaudit.types import PlauditError

Tiny = Callable[..., LanguageModel]


def trees(*shapes: tuple[int, tuple[int, ...]], vocabulary: int = 250) -> list[Tree]:
    rng = np.random.default_rng(0)
    return [
        Tree(rng.integers(4, vocabulary, prompt), tuple(rng.integers(4, vocabulary, length) for length in completions))
        for prompt, completions in shapes
    ]


def test_places_by_hand() -> None:
    tree = Tree(np.array([5, 6]), (np.array([7, 8]), np.array([9])))
    rows = lay([tree])
    assert rows.tokens.tolist() == [[5, 6, 7, 8, 9]]
    assert rows.positions.tolist() == [[0, 1, 2, 3, 2]]  # the second completion stands where the first one began
    assert rows.sources.tolist() == [1, 2, 1]
    assert rows.targets.tolist() == [7, 8, 9]
    assert rows.owners.tolist() == [0, 0, 1]
    assert rows.ends.tolist() == [3, 4]
    assert rows.begins.tolist() == [0]
    assert rows.mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


@pytest.mark.parametrize("method", ["full", "upper", "lora"])
def test_a_shared_prompt_gives_what_separate_sequences_give(tiny: Tiny, method: str) -> None:
    model = tiny(method)
    sample = trees((7, (5, 3, 9)), (2, (4,)), (4, (1, 1)), (11, (8, 2)))
    with torch.no_grad():
        rows = lay(sample)
        hidden = model.hidden(rows).flatten(0, 1)
        joint = token_log_probs(hidden[rows.sources], model.output, rows.targets)
        separate = []
        for tree in sample:
            for completion in tree.completions:
                ids = torch.from_numpy(np.concatenate((tree.prompt, completion)))[None]
                logits = model.model(ids).logits[0, len(tree.prompt) - 1 : -1]
                separate.append(logits.log_softmax(-1).gather(1, torch.from_numpy(completion)[:, None])[:, 0])
    torch.testing.assert_close(joint, torch.cat(separate), rtol=1e-4, atol=1e-4)
    assert len(rows.tokens) < len(sample)  # short ones share a row


def test_a_tree_does_not_see_its_neighbours_in_the_row(tiny: Tiny) -> None:
    model = tiny()
    first, second = trees((5, (4,)), (3, (2,)))
    with torch.no_grad():
        packed, alone = lay([first, second], 20), lay([second])
        assert len(packed.tokens) == 1
        packed_state = model.hidden(packed).flatten(0, 1)[packed.ends[1]]
        alone_state = model.hidden(alone).flatten(0, 1)[alone.ends[0]]
    torch.testing.assert_close(packed_state, alone_state, rtol=1e-4, atol=1e-5)


def test_cut_keeps_the_end_of_a_prompt_and_the_start_of_a_completion() -> None:
    tree = Tree(np.arange(1, 21), (np.arange(100, 110), np.arange(200, 204)))
    uncut, cut = tree.cut(30)
    assert uncut is tree and not cut
    shorter, cut = tree.cut(16)
    assert cut and shorter.prompt.tolist() == [15, 16, 17, 18, 19, 20]
    assert [len(completion) for completion in shorter.completions] == [10, 4]
    shortest, cut = tree.cut(8)
    assert shortest.prompt.tolist() == [19, 20]  # a quarter of 8, though the completion alone is longer
    assert shortest.completions[0].tolist() == [100, 101, 102, 103, 104, 105]


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_batches_hold_each_index_once_within_the_budget(lengths: list[int], budget: int) -> None:
    groups = batches(lengths, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or max(lengths[index] for index in group) * len(group) <= budget


def test_a_tree_above_the_budget_is_split_with_its_prompt_repeated() -> None:
    small, large = trees((3, (2, 2)), (4, (5, 1, 2, 9, 1)))
    parts = split([small, large], 12)
    assert parts[0] is small
    lengths = [[len(completion) for completion in tree.completions] for tree in parts[1:]]
    assert lengths == [[5, 1, 2], [9], [1]]  # 13 with its prompt, and cannot be split
    assert all(tree.prompt is large.prompt for tree in parts[1:])
    assert [completion for tree in parts for completion in tree.completions] == [*small.completions, *large.completions]
    alone = trees((9, ()))
    assert split(alone, 2) == alone


def test_padding_on_either_side() -> None:
    sequences = [np.array([1, 2, 3]), np.array([4])]
    assert pad_sequences(sequences, left=True)[0].tolist() == [[1, 2, 3], [0, 0, 4]]
    tokens, real = pad_sequences(sequences, left=False)
    assert tokens.tolist() == [[1, 2, 3], [4, 0, 0]] and real.tolist() == [[True] * 3, [True, False, False]]


def test_what_is_empty_is_refused() -> None:
    with pytest.raises(PlauditError, match="prompt has no tokens"):
        Tree(np.array([], np.int64), (np.array([1]),))
    with pytest.raises(PlauditError, match="completion 2 has no tokens"):
        Tree(np.array([1]), (np.array([1]), np.array([], np.int64)))
