"""Reading text files."""

from __future__ import annotations

from pathlib import Path

from plaudit.types import PlauditError


def is_spelled(text: str) -> bool:
    """Whether UTF-8 can encode a text: it cannot encode half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without the byte-order mark that Windows puts before it.

    Raises:
        PlauditError: the file does not exist, cannot be read, or is in another encoding.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlauditError(f"{path} is not UTF-8 (byte {error.start + 1}): save it as UTF-8") from error
    except OSError as error:
        raise PlauditError(f"{path} cannot be read ({error.strerror}): check the path") from error


def read_lines(path: Path) -> list[str]:
    r"""The lines of a text file, which end at "\n", "\r\n" or "\r" alone.

    ``str.splitlines`` would also cut a line at a form feed, U+0085 or U+2028, which a line may hold.

    Raises:
        PlauditError: as :func:`read_text`.
    """
    return read_text(path).split("\n")
