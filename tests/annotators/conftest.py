"""A model of a few thousand weights, a model at an address that says what a test wants, and an empty store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plaudit.feedback.store import Store

from ..language.conftest import tiny, tokenizer
from .fake_judge import FakeJudge

__all__ = ["tiny", "tokenizer"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJudge]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "PLAUDIT_JUDGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    served = FakeJudge()
    yield served
    served.close()


@pytest.fixture
def text_store(tmp_path) -> Iterator[Store]:
    with Store.open(tmp_path / "texts.sqlite") as opened:
        yield opened
