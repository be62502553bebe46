"""Conversations as tokens, judgements from the store as examples, DPO as the reward model's loss, models saved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.store import Store
from plaudit.language.data import bootstrap, read_judgements, split
from plaudit.language.dpo import LogRatios
from plaudit.language.models import LanguageModel
from plaudit.language.reward import HeadsConfig, JudgedCompletions
from plaudit.language.rows import Tree, lay
from plaudit.language.spans import Segments
from plaudit.language.template import TRANSCRIPT
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

Tiny = Callable[..., LanguageModel]
PROMPT = (Message("user", "the cat"),)


def answers(*responses: str) -> list[Dialogue]:
    return [Dialogue((*PROMPT, Message("assistant", response))) for response in responses]


def test_a_conversation_is_what_the_template_writes(tiny: Tiny) -> None:
    chat = Chat(tiny())
    tree = chat.dialogues(answers("sat on the mat", "said thank you"))
    tokenizer = chat.tokenizer
    assert tokenizer.decode(tree.prompt) == "<|user|>the cat<|end|><|assistant|>"
    assert [tokenizer.decode(completion) for completion in tree.completions] == [
        "sat on the mat<|end|>",
        "said thank you<|end|>",
    ]
    assert chat.text(tree.completions[0]) == "sat on the mat"
    assert chat.prompt(PROMPT).tolist() == tree.prompt.tolist()


def test_a_transcript_for_models_without_a_template(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    monkeypatch.setattr(model.tokenizer, "chat_template", None)
    with pytest.raises(PlauditError, match="no chat template"):
        Chat(model)
    monkeypatch.setattr(model.tokenizer, "chat_template", TRANSCRIPT)
    tree = Chat(model).tree(PROMPT, ["sat"])
    assert model.tokenizer.decode(tree.prompt) == "\n\nHuman: the cat\n\nAssistant:"
    assert model.tokenizer.decode(tree.completions[0]) == " sat<|end|>"


def test_what_cannot_be_a_tree_is_said(tiny: Tiny) -> None:
    chat = Chat(tiny())
    with pytest.raises(PlauditError, match="response is empty"):
        chat.tree(PROMPT, [" "])
    with pytest.raises(PlauditError, match="responses to one prompt"):
        chat.dialogues([*answers("sat"), Dialogue((Message("user", "another"), Message("assistant", "sat")))])


def judgement(question: Question, value: dict[str, object]) -> Judgement:
    return Judgement(question.id, "ada", value, tuple(range(len(question.items))), 1.0, 2.0, 3.0, f"{question.id}-1")


def test_judgements_become_examples_and_nothing_is_dropped_in_silence(tiny: Tiny, tmp_path: Path) -> None:
    a, b, c = answers("sat on the mat", "said thank you", "go on")
    empty = answers(" ")[0]
    values = [
        (Question("comparison", (a.id, b.id), "Which?"), {"strength": 4}),
        (Question("comparison", (a.id, c.id), "Which?"), {"strength": None}),
        (Question("comparison", (a.id, empty.id), "Which?"), {"strength": 4}),
        (Question("ranking", (a.id, b.id, c.id), "Rank."), {"ranks": [2, 1, 2]}),
        (Question("rating", (c.id,), "Rate."), {"ratings": {"overall quality": 7}}),
        (Question("critique", (c.id,), "Why?"), None),
    ]
    with Store.open(tmp_path / "feedback.sqlite") as store:
        for question, value in values:
            if value is None:
                continue
            value = KINDS[question.kind].validate(value, question)
            store.record([(question, judgement(question, value))], [a, b, c, empty])
        examples, counts = read_judgements(store, Chat(tiny()), HeadsConfig(), 512)
    judgements = {(example.mu, example.ranks, example.ratings) for example in examples}
    assert judgements == {(1.0, None, None), (None, (1, 0, 1), None), (None, None, (1.0,))}
    assert (counts.used, counts.said_nothing, counts.other_kinds, counts.cut) == (3, 1, 0, 0)
    assert len(counts.refused) == 1 and "response is empty" in counts.refused[0]


def test_a_prompt_is_on_one_side_of_a_split_however_it_was_cut() -> None:
    """Longer responses leave less of it; every response draws the same bootstrap, too."""
    generator = np.random.default_rng(0)
    prompts = [generator.integers(0, 9, 20) for _ in range(50)]
    cut = [[Tree(prompt, (np.arange(n), np.arange(2))).cut(16)[0] for n in (3, 9, 30)] for prompt in prompts]
    assert {len(tree.prompt) for trees in cut for tree in trees} == {13, 7, 4}
    assert all(len({bootstrap(tree, 4, 0) for tree in trees}) == 1 for trees in cut)
    fit, held_out = split([JudgedCompletions(tree, mu=1.0) for trees in cut for tree in trees], 0.3, seed=1)
    assert (
        not {example.tree.name for example in fit} & {example.tree.name for example in held_out} and len(held_out) > 15
    )
    whole = Tree(prompts[0], (np.arange(3),))
    assert cut[0][0].name == whole.name == cut[0][0].cut(8)[0].name


def test_a_prompt_is_on_one_side_of_a_split() -> None:
    trees = [Tree(np.array([5 + i % 7]), (np.array([20 + i]), np.array([90]))) for i in range(40)]
    fit, held_out = split([JudgedCompletions(tree, mu=1.0) for tree in trees], 0.3, seed=1)
    sides = [{example.tree.prompt.tobytes() for example in side} for side in (fit, held_out)]
    assert not sides[0] & sides[1] and len(sides[1]) == 2 and len(fit) + len(held_out) == 40
    assert bootstrap(trees[0], 3, 0) == bootstrap(trees[7], 3, 0)  # the same prompt
    assert bootstrap(trees[0], 1, 0) == ()


def test_dpo_begins_at_log_2_and_prefers_what_was_preferred(tiny: Tiny) -> None:
    model = tiny()
    objective = LogRatios(model, model.twin(), beta=0.5)
    example = JudgedCompletions(Tree(np.array([5, 6]), (np.array([40, 0]), np.array([41, 42, 0]))), mu=1.0)
    rows = lay([example.tree])
    before = objective.losses(rows, None, [example])["loss"]
    assert float(before.detach()) == pytest.approx(log(2), abs=1e-5)
    before.backward()
    with torch.no_grad():
        for parameter in model.trainable_parameters():
            assert parameter.grad is not None
            parameter -= 1e-3 * parameter.grad
        assert float(objective.losses(rows, None, [example])["loss"]) < float(before)


@pytest.mark.parametrize("method", ["full", "upper", "lora"])
@pytest.mark.parametrize("other_trunk", [False, True])
def test_dpo_with_frozen_layers_learns_against_its_reference_whatever_that_shares(
    tiny: Tiny, method: str, other_trunk: bool
) -> None:
    """The loss of each step is the one that plain log-probabilities of both models give."""
    model = tiny(method, **({} if method == "full" else {"layers": 2}))
    reference = model.twin()
    if other_trunk:  # a reference of other lower layers: what the policy's make of the tokens is not for it
        reference = tiny("upper", layers=2).twin()
        with torch.no_grad():
            reference.model.get_input_embeddings().weight.mul_(1.1)  # type: ignore[operator]
    start = {name: value.clone() for name, value in reference.model.state_dict().items()}
    trees = [Tree(np.array([5, 6, token]), (np.array([40, 0]), np.array([41, 42, 0]))) for token in range(7, 11)]
    tuner = Tuner(
        model,
        model.trainable_parameters(),
        LogRatios(model, reference, 0.5),
        [JudgedCompletions(tree, mu=1.0) for tree in trees],
        TuneConfig(3e-3, batch=4, epochs=4),
    )
    steps = tuner.run()
    for _ in range(3):
        next(steps)
    with torch.no_grad():
        gaps = []
        for tree in trees:
            logs = []
            for role in (model, reference):
                for completion in tree.completions:
                    ids = torch.from_numpy(np.concatenate((tree.prompt, completion)))[None]
                    logits = role.model(ids).logits[0, 2:-1].log_softmax(-1)
                    logs.append(logits.gather(1, torch.from_numpy(completion)[:, None]).sum())
            gaps.append(0.5 * (logs[0] - logs[2] - (logs[1] - logs[3])))
        expected = -torch.nn.functional.logsigmoid(torch.stack(gaps)).mean()
    last = next(steps)["loss"]
    assert last == pytest.approx(float(expected), abs=1e-4)
    if not other_trunk:
        assert last < log(2)
    for name, value in reference.model.state_dict().items():
        assert torch.equal(value, start[name]), name


@pytest.mark.parametrize("method", ["full", "upper", "lora"])
def test_a_saved_model_is_a_plain_one_with_the_same_logits(tiny: Tiny, tmp_path: Path, method: str) -> None:
    model = tiny(method)
    with torch.no_grad():
        for parameter in model.trainable_parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
        ids = torch.arange(4, 20)[None]
        expected = model.model(ids).logits
        model.save(tmp_path / "saved")
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32)
        torch.testing.assert_close(loaded(ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert (tmp_path / "saved" / "tokenizer.json").exists()


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerFast:
    """A tokenizer of Llama 2's kind: a space is part of the word behind it, one stands before a text, as does <s>."""
    plain = Tokenizer(models.BPE(unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    plain.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    text = "Human: the cat.\n\nAssistant: sat on the mat. It is so. [INST] go [/INST] a b c d e f g h i j k l m n o p"
    plain.train_from_iterator([text] * 20, trainer)
    plain.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize(
    "template", [TRANSCRIPT, "{{ bos_token }}{% for m in messages %}{{ m['content'] }}|{% endfor %}"]
)
def test_a_response_has_the_tokens_that_it_has_behind_its_prompt(
    tiny: Tiny, words: PreTrainedTokenizerFast, template: str
) -> None:
    """A policy never writes the space that such a tokenizer puts before a text of its own."""
    model = tiny()
    model.tokenizer = words
    words.chat_template = template
    chat = Chat(model)
    response = "sat on. It is so."
    tree = chat.tree(PROMPT, [response])
    whole: Any = words.apply_chat_template(
        [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": response}], tokenize=False
    )
    read = words(whole, add_special_tokens=False)["input_ids"]
    tokens = [*tree.prompt, *tree.completions[0]]
    assert tokens[: len(read)] == read and words.decode(tokens[:1]) == "<s>" and tokens.count(tokens[0]) == 1
    assert chat.text(tree.completions[0]) == response or template != TRANSCRIPT
    located, offsets = chat.locate(PROMPT, response)
    assert located.completions[0].tolist() == tree.completions[0].tolist()
    assert "".join(response[max(a, 0) : max(b, 0)] for a, b in offsets) == response


def test_a_transcript_begins_as_the_models_texts_do(tiny: Tiny, words: PreTrainedTokenizerFast) -> None:
    model = tiny()
    model.tokenizer = words
    words.chat_template = TRANSCRIPT
    for _ in range(2):  # the second finds what the first left
        prompt = Chat(model).prompt(PROMPT)
        assert words.convert_ids_to_tokens(prompt[:1].tolist()) == ["<s>"] and (prompt != prompt[0])[1:].all()
    assert str(words.chat_template).endswith(TRANSCRIPT)  # and is saved so, for whoever serves the model


def test_segments_of_tokens_that_begin_with_their_space(tiny: Tiny, words: PreTrainedTokenizerFast) -> None:
    model = tiny()
    model.tokenizer = words
    tokens = np.array(words("sat on. It is 3.1 so.", add_special_tokens=False)["input_ids"])
    parts = np.split(tokens, Segments(model, "sentence").ends(tokens) + 1)
    assert [str(words.decode(part)).strip() for part in parts if len(part)] == [
        "sat on.",
        str(words.decode(tokens))[8:],
    ]


def test_a_response_is_not_cut_at_a_token_that_texts_contain(tiny: Tiny) -> None:
    """Some models end a text at a newline; a response of two lines must not lose its second line in silence."""
    model = tiny()
    (newline,) = model.tokenizer("\n")["input_ids"]
    model.model.generation_config.eos_token_id = [0, newline]  # type: ignore[union-attr]
    chat = Chat(model)
    assert chat.text(chat.tree(PROMPT, ["sat on\n"]).completions[0]) == "sat on"
    with pytest.raises(PlauditError, match=r"contains the token 'Ċ', which ends a text, before its last words"):
        chat.tree(PROMPT, ["sat on\nthe mat"])


def test_a_token_without_an_embedding_is_named(tiny: Tiny) -> None:
    model = tiny()
    model.tokenizer = copy.deepcopy(model.tokenizer)
    model.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    count = len(model.output)
    assert chat_tokens(model, "[PAD]").max() < count
    model.tokenizer.spelling = "learn"  # type: ignore[union-attr]
    with pytest.raises(PlauditError, match=rf"reads a text as token {count} \('\[PAD\]'\), and the model has {count}"):
        chat_tokens(model, "[PAD]")


def chat_tokens(model: LanguageModel, content: str) -> Any:
    return Chat(model).prompt([Message("user", content)])
