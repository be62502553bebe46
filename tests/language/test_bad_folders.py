"""Damaged model folders: each loads, or is refused in one line; none ends in a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from plaudit.language.models import LanguageModel, ModelConfig
from plaudit.language.reward import HeadsConfig, TextReward
from plaudit.language.text import Chat
from plaudit.types import Message, PlauditError

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "null": lambda content: b"null",
    "list": lambda content: b"[1, 2]",
    "text": lambda content: b'"text"',
    "number": lambda content: b"7",
    "object": lambda content: b"{}",
    "foreign": lambda content: b'{"a": {"b": [null, 1e999]}}',
    "deep": lambda content: b"[" * 100_000,
    "binary": lambda content: bytes(range(256)),
    "utf-16": lambda content: content[:5000].decode("latin-1").encode("utf-16"),
    "html": lambda content: b"<!DOCTYPE html><title>404</title>",
    "pointer": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
}
JSON_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "heads.json")
FILES = (*JSON_FILES, "model.safetensors", "heads.safetensors", "chat_template.jinja")
VALUES: tuple[Any, ...] = (None, [], {}, "", -1, 1e30, True, "x" * 1000)


@pytest.fixture(scope="module")
def saved(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=0,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("saved")
    TextReward(LanguageModel(LlamaForCausalLM(shape), tokenizer), HeadsConfig()).save(folder)
    return folder


def damaged_files() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Each file of a folder, damaged, missing, or a folder itself."""
    for name in FILES:
        for damage, change in DAMAGES.items():
            yield f"{name} {damage}", lambda path, n=name, c=change: (path / n).write_bytes(c((path / n).read_bytes()))
        yield f"{name} missing", lambda path, n=name: (path / n).unlink()
        yield f"{name} folder", lambda path, n=name: ((path / n).unlink(), (path / n).mkdir())


def faulty_settings() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Settings of the configuration and of the tokenizer with values of other types."""
    names = {
        "config.json": ("architectures", "eos_token_id", "rms_norm_eps", "tie_word_embeddings", "num_key_value_heads"),
        "tokenizer_config.json": ("eos_token", "tokenizer_class", "extra_special_tokens"),
        "generation_config.json": ("eos_token_id",),
    }
    for file, settings in names.items():
        for setting in settings:
            for value in VALUES:
                yield (
                    f"{file} {setting}={value!r:.20}",
                    lambda path, f=file, s=setting, v=value: (path / f).write_text(
                        json.dumps(json.loads((path / f).read_text()) | {s: v})
                    ),
                )


def use(folder: Path) -> None:
    """Load a folder as a reward model, whose trunk is a language model, and write a conversation."""
    reward = TextReward.load(folder, ModelConfig(method="frozen", precision="fp32"))
    Chat(reward.model).prompt([Message("user", "hi")])


def find_tracebacks(saved: Path, folder: Path, cases: Iterator[tuple[str, Callable[[Path], object]]]) -> list[str]:
    """Cases that end otherwise than well or in one line."""
    use(saved)
    failures = []
    for name, damage in cases:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(saved, folder)
        damage(folder)
        try:
            use(folder)
        except PlauditError as error:
            if "\n" in str(error) or len(str(error)) > 1000:
                failures.append(f"{name}: {len(str(error))} characters: {str(error)[:100]!r}")
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {str(error)[:100]!r}")
    return failures


def test_no_damaged_file_ends_in_a_traceback(saved: Path, tmp_path: Path) -> None:
    assert len(list(damaged_files())) == len(FILES) * (len(DAMAGES) + 2) == 120
    assert find_tracebacks(saved, tmp_path / "model", damaged_files()) == []


@pytest.mark.thorough
def test_no_faulty_setting_ends_in_a_traceback(saved: Path, tmp_path: Path) -> None:
    assert find_tracebacks(saved, tmp_path / "model", faulty_settings()) == []
