"""Pretraining: what is read, the tokenizer, the pieces, and runs that end the same however often they are stopped."""

from __future__ import annotations

import gzip
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.cli.pretrain import pretrain
from plaudit.language.files import ColumnsConfig
from plaudit.language.models import ModelConfig, load
from plaudit.language.pretrain import (
    END,
    SIZES,
    PretrainConfig,
    count_parameters,
    create_model,
    encode,
    read_documents,
    split,
    split_document,
    train_tokenizer,
)
from plaudit.language.rows import lay
from plaudit.language.text import Chat
from plaudit.language.tune import Demonstrations, TuneConfig, Tuner
from plaudit.run.language.pretrain import Pretraining, PretrainRun
from plaudit.types import Message, PlauditError

WORDS = ("the cat", "a dog", "my friend", "nobody", "sat", "ran", "spoke", "slept", "here", "there", "at home", "today")


def text(count: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    parts = (rng.choice(WORDS[i : i + 4], count) for i in (0, 4, 8))
    return "\n".join(" ".join(sentence) + "." for sentence in zip(*parts, strict=True))


def config(folder: Path, **settings: object) -> PretrainConfig:
    fit = TuneConfig(3e-3, batch=4, length=64, steps=6, schedule="cosine", tokens=256)
    base = PretrainConfig((str(folder),), layers=2, width=32, heads=2, vocabulary=300, fit=fit, precision="fp32")
    return replace(base, **settings)  # type: ignore[arg-type]


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text(text(60, number), encoding="utf-8")
    return folder


def test_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("\ufeffsecond é", encoding="utf-8")
    (tmp_path / "a.py").write_text("def f():\n    return 1\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe")
    (tmp_path / "deeper").mkdir()
    with gzip.open(tmp_path / "deeper" / "c.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"text": "third", "id": 1}\n\n{"text": "fourth"}\n')
    assert read_documents([str(tmp_path)]) == ["def f():\n    return 1\n", "second é", "third", "fourth"]
    table = tmp_path / "table.csv"
    table.write_text('text,source\n"first\u2028line",web\nsecond,web\n', encoding="utf-8")
    assert read_documents([str(table)]) == ["first\u2028line", "second"]
    assert len(read_documents([str(tmp_path)])) == 4  # a table in a folder may hold anything


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"good\xffbad", r"x.txt is not UTF-8 \(byte 5\)"),
        ("x.jsonl", b'{"text": "a"}\n{"texts": "b"}\n', 'x.jsonl, line 2: must be an object with a "text"'),
        ("x.jsonl", b'{"text": "a"}\n{"text": \n', "x.jsonl, line 2: is not JSON"),
        ("x.jsonl", b"[1, 2]", "x.jsonl, element 1: must be an object"),
        ("x.txt", b" \n ", "there is no text in"),
        ("x.pdf", b"%PDF", "x.pdf is not a text file that can be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PlauditError, match=message):
        read_documents([str(tmp_path / name)])


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match=r"there is no .*nowhere"):
        read_documents([str(tmp_path / "nowhere")])
    with pytest.raises(PlauditError, match="has no text files"):
        read_documents([str(tmp_path)])
    with pytest.raises(PlauditError, match="name text files"):
        read_documents([])


def test_columns_and_conversations_are_texts(tmp_path: Path) -> None:
    """A column of any name, and whole conversations as the tokenizer's own chat template writes them."""
    rows, talks = tmp_path / "rows.csv", tmp_path / "talks.jsonl"
    rows.write_text("id,body\n1,first\n2,second\n")
    turns = [("user", "Hi"), ("assistant", "Yes?"), ("user", "Go"), ("assistant", "No.")]
    talk = {"messages": [{"role": role, "content": text} for role, text in turns]}
    talks.write_text(f"{json.dumps(talk)}\n" + json.dumps({"messages": talk["messages"][2:]}) + "\n")
    assert read_documents([str(rows)], ColumnsConfig(columns=("text=body",))) == ["first", "second"]
    written = "Human: Hi\n\nAssistant: Yes?\n\nHuman: Go\n\nAssistant: No."
    assert read_documents([str(talks)], ColumnsConfig("messages")) == [
        written,
        written[-len("Human: Go..Assistant: No.") :],
    ]
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (tmp_path / "x.txt").write_text("text")
    for name, config, words in (
        ("rows.csv", ColumnsConfig(), "name its column by --columns text=COLUMN"),
        ("pairs.jsonl", ColumnsConfig("preference"), "reads a comparison, and pretraining learns texts: name a column"),
        ("x.txt", ColumnsConfig(columns=("text=body",)), "holds texts alone: leave them out"),
    ):
        with pytest.raises(PlauditError, match=words):
            read_documents([str(tmp_path / name)], config)


def test_settings_that_cannot_be() -> None:
    for settings, message in (
        ({"width": 30, "heads": 4}, "multiple of twice the heads"),
        ({"vocabulary": 100}, "at least 300 tokens"),
        ({"held_out": 0.0}, "held_out"),
        ({"layers": 0}, "multiple of twice the heads"),
    ):
        with pytest.raises(PlauditError, match=message):
            PretrainConfig(("x.txt",), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "millions"), [("tiny", 1), ("small", 5), ("base", 15), ("large", 30)])
def test_sizes(size: str, millions: float) -> None:
    tokenizer = train_tokenizer([text(20)], 300, 64)
    chosen = PretrainConfig(("x.txt",), size=size)  # type: ignore[arg-type]
    with torch.device("meta"):
        model = create_model(chosen, tokenizer, torch.device("meta"))
    missing = (SIZES[size].vocabulary - len(tokenizer)) * SIZES[size].width
    assert (count_parameters(model) + missing) / 1e6 == pytest.approx(millions, rel=0.1)


def test_text_comes_back_and_stays_text() -> None:
    tokenizer = train_tokenizer([text(50)], 320, 64)
    document = f"Straße\n\tif x == 'ü': pass {END} 猫"
    (tokens,) = encode([document], tokenizer)
    end = tokenizer.convert_tokens_to_ids(END)
    assert (tokens == end).nonzero()[0].tolist() == [0, len(tokens) - 1]  # what looks like the end is not one
    assert tokenizer.decode(tokens[1:-1]) == document


@pytest.mark.parametrize("length", [2, 5, 9, 50])
def test_each_token_is_predicted_once_from_the_one_before(length: int) -> None:
    document = np.arange(23)
    trees = split_document(document, length)
    assert all(len(tree) <= length for tree in trees)
    assert np.concatenate([tree.completions[0] for tree in trees]).tolist() == list(range(1, 23))
    assert all(tree.prompt[0] == tree.completions[0][0] - 1 for tree in trees)


def test_packed_documents_do_not_see_each_other(books: Path) -> None:
    chosen = config(books)
    tokenizer = train_tokenizer(read_documents([str(books)]), 300, 64)
    model = create_model(chosen, tokenizer, torch.device("cpu"))
    trees = [
        tree
        for document in encode(["a dog ran here.", "nobody spoke.", text(4)], tokenizer)
        for tree in split_document(document, 64)
    ]
    rows = lay(trees, 64)
    assert len(rows.tokens) < len(trees)
    joint = Demonstrations(model).losses(rows, None, trees)["loss"]
    separate = sum(Demonstrations(model).losses(lay([tree]), None, [tree])["loss"] for tree in trees)
    torch.testing.assert_close(joint, separate, rtol=1e-5, atol=1e-4)


def test_held_out_text_is_nowhere_else() -> None:
    fit = TuneConfig(length=8)
    for count in (1, 3, 40):  # few documents lose their ends, of many some are held out whole
        texts = [np.arange(1000 * i, 1000 * i + 400) for i in range(count)]
        learned, held_out = split(texts, PretrainConfig(("x",), fit=fit))
        sides = [set(np.concatenate([t.completions[0] for t in side]).tolist()) for side in (learned, held_out)]
        assert not sides[0] & sides[1]
        assert len(sides[1]) / (400 * count) == pytest.approx(0.05, abs=0.01)
    with pytest.raises(PlauditError, match="12 tokens of text are too few"):
        split([np.arange(12)], PretrainConfig(("x",), fit=fit))


def run(folder: Path, config: PretrainConfig, stop: int | None = None) -> tuple[list[dict], Path]:
    """Train, or stop after some steps as Ctrl-C would."""
    opened = PretrainRun.open(folder) if (folder / "config.json").exists() else PretrainRun.create(folder, config)
    session, rows = Pretraining(opened), []
    try:
        for row in session.steps():
            rows.append(row)
            if len(rows) == stop:
                os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        assert stop is not None
    return rows, opened.model


def test_a_stopped_run_ends_bit_for_bit_as_one_that_was_not(books: Path, tmp_path: Path) -> None:
    chosen = config(books)
    whole, whole_model = run(tmp_path / "whole", chosen)
    first, _ = run(tmp_path / "parts", chosen, stop=2)
    second, _ = run(tmp_path / "parts", chosen, stop=3)
    third, resumed_model = run(tmp_path / "parts", chosen)
    assert [len(rows) for rows in (whole, first, second, third)] == [6, 2, 3, 1]
    for row, expected in zip(whole, [*first, *second, *third], strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in expected.items() if k != "seconds"}
    assert (whole_model / "model.safetensors").read_bytes() == (resumed_model / "model.safetensors").read_bytes()
    assert not list((tmp_path / "parts" / "checkpoints").iterdir())
    card = (whole_model / "README.md").read_text(encoding="utf-8")
    assert "- None: training began with random weights" in card and "nats per token (n = " in card
    assert [row["round"] for row in PretrainRun.open(tmp_path / "parts").metrics()] == [1, 2, 3, 4, 5, 6]


def test_other_text_does_not_go_on(books: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", config(books), stop=2)
    (books / "0.txt").write_text("something else", encoding="utf-8")
    with pytest.raises(PlauditError, match="started with other text"):
        Pretraining(PretrainRun.open(tmp_path / "run"))


@pytest.mark.learning
def test_the_command_makes_a_model_that_everything_takes(
    books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recorder: list[Any]
) -> None:
    folder = tmp_path / "run"
    arguments = f"{books} --out {folder} --layers 2 --width 32 --heads 2 --vocabulary 320 --length 64 --batch 8".split()
    options = ["--steps", "60", "--learning-rate", "5e-3", "--device", "cpu"]
    assert pretrain([*arguments, *options, "--track", "recorder"]) == 0
    assert [entry.step for entry in recorder] == list(range(1, 61))
    printed = capsys.readouterr().out
    assert printed.count("--- sample") == 3 and str(folder / "model") in printed
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["round"] for row in rows if "held_out" in row] == [*range(6, 61, 6)]
    assert rows[0]["loss"] > 5 and rows[-1]["held_out"] < 1.8  # chance is log 320 = 5.8

    model = load(ModelConfig(str(folder / "model"), "frozen", precision="fp32"))
    plain = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert plain.config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids(END)
    assert Chat(model).tree([Message("user", "Where?")], ["here"]).completions[0][-1] == tokenizer.eos_token_id
    ids = torch.from_numpy(encode([text(3)], tokenizer)[0])[None]
    assert float(plain(ids, labels=ids).loss.detach()) < 2.5

    repeated = [*arguments, *options]
    assert pretrain(repeated) == 0 and "is finished" in capsys.readouterr().out
    assert pretrain(["--resume", str(folder)]) == 0 and "is finished" in capsys.readouterr().out
    with pytest.raises(PlauditError, match=r"other settings \(seed\): choose another --out"):
        pretrain([*repeated, "--seed", "1"])
    with pytest.raises(PlauditError, match="--resume uses the run's own data"):
        pretrain([str(books), "--resume", str(folder)])
    with pytest.raises(PlauditError, match="name text files"):
        pretrain([])
    with pytest.raises(PlauditError, match=r"there is no nowhere.txt"):
        pretrain(["nowhere.txt", "--out", str(tmp_path / "mistyped")])
    assert not (tmp_path / "mistyped").exists()


def test_steps_are_the_same_however_they_are_split(books: Path) -> None:
    """How a step's trees are laid out changes how long it takes, and nothing else."""
    tokenizer = train_tokenizer(read_documents([str(books)]), 300, 64)
    learned, _ = split(encode(read_documents([str(books)]), tokenizer), config(books))
    short = [
        tree
        for document in encode(["a dog ran.", "nobody.", "my friend slept at home."], tokenizer)
        for tree in split_document(document, 64)
    ]
    losses = []
    for tokens in (64, 10_000):
        model = create_model(config(books), tokenizer, torch.device("cpu"))
        fit = TuneConfig(3e-3, batch=6, length=64, tokens=tokens)
        rows = Tuner(model, model.trainable_parameters(), Demonstrations(model), [*learned[:9], *short], fit).run()
        losses.append([row["loss"] for row in rows])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
