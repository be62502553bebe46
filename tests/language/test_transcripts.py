"""Real HH-RLHF transcripts: split at the common prefix, snapped to the last turn of the assistant, byte for byte."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from plaudit.feedback.formats.incoming import import_file
from plaudit.feedback.store import Store
from plaudit.language.data import read_judgements
from plaudit.language.models import LanguageModel
from plaudit.language.reward import HeadsConfig
from plaudit.language.template import TRANSCRIPT
from plaudit.language.text import Chat

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "hh_harmless" / "pairs.jsonl.gz"
TURN = "\n\nAssistant:"


@pytest.mark.parametrize("count", [300, pytest.param(1800, marks=pytest.mark.thorough)])
@pytest.mark.skipif(not REAL.exists(), reason="the 1,800 pairs of HH-RLHF are not there")
def test_every_pair_is_split_where_the_last_answer_begins(
    tiny: Callable[..., LanguageModel], tmp_path: Path, count: int
) -> None:
    model = tiny()
    old: PreTrainedTokenizerFast = model.tokenizer  # type: ignore[assignment]
    model.tokenizer = PreTrainedTokenizerFast(tokenizer_object=old.backend_tokenizer, eos_token="<|end|>")
    model.tokenizer.chat_template = TRANSCRIPT
    chat = Chat(model)
    with gzip.open(REAL, "rt", encoding="utf-8") as file:
        lines = file.readlines()
    assert len(lines) == 1800
    step = len(lines) // count  # spread over the whole file
    source = REAL if step == 1 else tmp_path / "pairs.jsonl"
    if step > 1:
        source.write_text("".join(lines[::step]), "utf-8")
    pairs = [json.loads(line) for line in lines[::step]]
    with Store.open(tmp_path / "feedback.sqlite") as store:
        result = import_file(store, source)
        examples, counts = read_judgements(store, chat, HeadsConfig(), 1 << 20)
    assert (result.format, result.read) == ("hh-rlhf", count)
    assert result.accepted + result.surplus + result.duplicates + result.problems.count == count
    assert counts.used == len(examples) and counts.used + len(counts.refused) == result.accepted and not counts.cut
    assert counts.used > 0.94 * count  # the others have equal or empty answers
    expected = set()
    for pair in pairs:
        prefix = list(
            takewhile(lambda letters: letters[0] == letters[1], zip(pair["chosen"], pair["rejected"], strict=False))
        )
        cut = pair["chosen"][: len(prefix)].rindex(TURN) + len(TURN)
        expected.add((pair["chosen"][:cut], pair["chosen"][cut:].strip(), pair["rejected"][cut:].strip()))
    for example in examples:
        prompt = chat.tokenizer.decode(example.tree.prompt, clean_up_tokenization_spaces=False).replace("<|end|>", "")
        responses = [chat.text(completion) for completion in example.tree.completions]
        assert prompt.endswith(TURN)
        better, worse = responses if example.mu and example.mu > 0.5 else responses[::-1]
        assert (prompt, better, worse) in expected
