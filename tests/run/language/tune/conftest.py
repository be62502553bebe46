"""A tiny language model, and files of each kind to tune it on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.language.conftest import tokenizer
from tests.run.language.conftest import base

from plaudit.cli import main

__all__ = ["base", "tokenizer"]
COUNT = 40


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def pair(number: int) -> dict[str, Any]:
    """Of two responses to the prompt of that number, the better one is longer."""
    asked = [user(f"say {number}")]
    return {"prompt": asked, "chosen": [assistant("thank you, please go on")], "rejected": [assistant(f"no {number}")]}


def lines(path: Path, objects: list[Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in objects))
    return path


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """Conversations of two turns."""
    every = [
        [user(f"say {i}"), assistant("the cat sat"), user("go on"), assistant("and said thank you")]
        for i in range(COUNT)
    ]
    return lines(tmp_path / "messages.jsonl", [{"messages": each} for each in every])


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return lines(tmp_path / "pairs.jsonl", [pair(number) for number in range(COUNT)])


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Responses of two sentences, in every other one of which the second is marked."""
    every = []
    for number in range(COUNT):
        response = "the cat sat. " + ("thank you, thank you." if number % 2 else "go on.")
        errors = [{"error type": "Irrelevant", "explanation": "", "start": 13, "end": len(response)}]
        every.append(
            {
                "question": f"say {number}",
                "passages": [],
                "gold": "",
                "prediction 1": response,
                "prediction 2": "no",
                "preference": [1],
                "feedback": {"errors": errors if number % 2 else [], "missing-info": []},
            }
        )
    path = tmp_path / "marks.json"
    path.write_text(json.dumps(every))
    return path


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"say {number}\n" for number in range(COUNT)))
    return path


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "principles.txt"
    path.write_text("Please say thank you.\n")
    return path


@pytest.fixture
def options(base: Path) -> list[str]:
    """What makes a method take a second."""
    train = f"--base {base} --train upper --model.layers 1 --precision fp32 --device cpu"
    return f"{train} --learning-rate 1e-2 --batch 8".split()


@pytest.fixture
def fault(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that a command says when it cannot."""

    def run(*arguments: object) -> str:
        assert main([str(each) for each in arguments]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("plaudit: ")]
        assert len(said) == 1
        return said[0]

    return run
