"""The bytes of a file as UTF-8. Its first bytes, and not its name, tell its compression and its encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plaudit.feedback.formats import _episodes
from plaudit.types import PlauditError

CHUNK = 1 << 16  # bytes read at a time
BROKEN = (
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
)  # of a compressed file that is cut or damaged
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def open_bytes(path: Path) -> Iterator[tuple[io.BufferedReader, io.BufferedReader]]:
    """The file's text as UTF-8, and the file itself, whose position tells how far it has been read.

    Raises:
        PlauditError: the file cannot be opened, or what decompresses it is not installed.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise PlauditError(f"{path} cannot be read ({error.strerror}): check the path") from error
    with raw:
        yield _recode(_decompress(raw, path)), raw


def _decompress(raw: Any, path: Path) -> io.BufferedReader:
    head = raw.peek(6) if hasattr(raw, "peek") else b""
    kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
    if kind == "gzip":
        return io.BufferedReader(gzip.GzipFile(fileobj=raw))  # type: ignore[arg-type]
    if kind == "bzip2":
        return io.BufferedReader(bz2.BZ2File(raw))  # type: ignore[arg-type]
    if kind == "xz":
        return io.BufferedReader(lzma.LZMAFile(raw))  # type: ignore[arg-type]
    if kind == "zstd":
        library = _episodes.pyarrow("lib", path)
        return io.BufferedReader(library.CompressedInputStream(raw, "zstd"))
    return raw


def _recode(stream: Any) -> io.BufferedReader:
    """A stream of UTF-8, also where the file is UTF-16 with a byte-order mark, as Excel's "Unicode text" is."""
    try:
        head = stream.peek(2)[:2]
    except BROKEN:  # found again, and reported with its place, when the first line is read
        return stream
    return io.BufferedReader(_Utf16(stream)) if head in UTF16 else stream


class _Utf16(io.RawIOBase):
    """A file in UTF-16 as UTF-8."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")  # half a character at a cut end
        self._bytes = b""

    def readable(self) -> bool:
        """As of any stream that is read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        while not self._bytes:
            data = self._stream.read(CHUNK)
            self._bytes = self._decoder.decode(data, final=not data).encode("utf-8", "surrogatepass")
            if not data:
                break
        count = min(len(buffer), len(self._bytes))
        buffer[:count] = self._bytes[:count]
        self._bytes = self._bytes[count:]
        return count
