"""Text files, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest

from plaudit.feedback.files import read_text
from plaudit.types import PlauditError


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "notepad.txt").write_bytes(b"\xef\xbb\xbf# Caf\xc3\xa9\r\n")
    assert read_text(tmp_path / "notepad.txt") == "# Café\n"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for name, words in (("latin.txt", r"UTF-8 \(byte 4\)"), ("nothing.txt", "No such file"), (".", "Is a directory")):
        with pytest.raises(PlauditError, match=words):
            read_text(tmp_path / name)
