"""Write a file or a folder beside its path, then replace what stands there; never write through a link.

A reader, or a process that starts after a kill, finds the old content or the new one, never half of it. A folder from a
stranger can hold links under the names that Plaudit writes. So everything is written to a new file with a random name,
and files that grow are opened without following a link. Any package may write this way, so this module stands on the
lowest floor and imports nothing of Plaudit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

PARTIAL = ".partial"  # suffix of what is being written
REPLACED = ".replaced"  # suffix of a folder that the new one is about to replace
ABANDONED = 6 * 3600  # seconds after which a shared partial file is taken for abandoned
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag; O_EXCL refuses a link there, too
GROWING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_FOLLOW | getattr(os, "O_BINARY", 0)
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | getattr(os, "O_BINARY", 0)
JUNCTION = 0xA0000003  # Windows: tag of a folder that stands for another one


@contextlib.contextmanager
def replace_file(path: Path, mode: int | None = None, shared: bool = False) -> Iterator[Path]:
    """Yield a new empty file beside ``path`` to write to; afterwards flush it to the disk and let it replace ``path``.

    If the writer raises, ``path`` stays as it was and the partial file is removed. A kill leaves the partial file, and
    the next writer of the same path removes it.

    Args:
        mode: permissions of the file from its creation, so that other users never may read it.
        shared: several processes may write ``path`` at once, so only partial files that are hours old are removed.
    """
    for leftover in _leftovers(path):
        if not shared or time.time() - leftover.lstat().st_mtime > ABANDONED:
            leftover.unlink(missing_ok=True)
    partial = _partial(path)
    os.close(os.open(partial, NEW, 0o666 if mode is None else mode))
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Replace a text file: UTF-8, with line feeds as they stand in ``text``."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, data: bytes) -> None:
    """Replace a file."""
    with replace_file(path) as partial:
        partial.write_bytes(data)


def copy_file(source: Path, path: Path) -> None:
    """Replace a file by a copy of ``source``."""
    with replace_file(path) as partial:
        shutil.copyfile(source, partial)


def open_to_append(name: str | os.PathLike[str], flags: int = 0) -> int:
    """The descriptor of a file that grows, created if it is missing; writes add to its end. An opener for ``open``.

    A file that has another name, too (a hard link), is first replaced by a copy, so that the other name keeps its
    content.

    Raises:
        OSError: ``path`` is a link, or no ordinary file.
    """
    path = Path(name)
    with contextlib.suppress(FileNotFoundError):
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.ELOOP, "it is a link or no ordinary file: remove it", str(path))
        if info.st_nlink > 1:
            copy_file(path, path)
    return os.open(path, flags | GROWING, 0o666)


def append_text(path: Path, text: str) -> None:
    """Add text to a file; on the disk before this returns. Raises as :func:`open_to_append`."""
    with open(path, "ab", buffering=0, opener=open_to_append) as file:
        file.write(text.encode())
        os.fsync(file.fileno())


def create_file(name: str | os.PathLike[str], flags: int = 0) -> int:
    """The descriptor of a new empty file in the place of what has that name; an opener for ``open``."""
    path = Path(name)
    path.unlink(missing_ok=True)
    return os.open(path, NEW, 0o666)


def create_secret(path: Path, size: int) -> None:
    """Make a file of random bytes that only its owner may read, unless there is one.

    The bytes are written to a temporary file, which is linked into place: no reader sees half a secret, and of two
    writers one wins.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, NEW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(size))
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.replace(temporary, path) if os.name == "nt" else _link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    """Create ``path`` only if it does not exist; a second writer leaves the first one's file."""
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)


@contextlib.contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a new empty folder beside ``path`` to fill; afterwards let that folder replace ``path``.

    A file system cannot exchange two folders in one step, so the old folder is renamed, the new one takes its place,
    and then the old one is removed. If a kill comes between the two renames, the next writer first puts the old folder
    back.
    """
    partial, replaced = _partial(path), path.with_name(path.name + REPLACED)
    if replaced.is_symlink():
        replaced.unlink()
    if replaced.exists() and not path.exists():
        os.replace(replaced, path)
    for leftover in (replaced, *_leftovers(path)):
        _remove(leftover)
    partial.mkdir()  # fails if anything has that name
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                _flush(file)
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            os.replace(path, replaced)
        os.replace(partial, path)
    except BaseException:
        if replaced.exists() and not path.exists():
            os.replace(replaced, path)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def find_link(folder: Path, allow: str | None = None, pattern: str = "") -> Path | None:
    """The first link, pipe, socket or device in a folder or below it; None if there are only files and folders.

    ``folder`` itself may be a link, because the user named it. ``allow``: name of a subfolder in which links to places
    in the same subfolder are allowed. ``pattern``: paths in the folder, as ``*/debug.log``, that may be links to
    anywhere, because nothing opens them.
    """
    allowed = None if allow is None else os.path.realpath(folder / allow)
    for parent, folders, files in os.walk(folder, onerror=_raise):
        in_subfolder = allow is not None and Path(parent).relative_to(folder).parts[:1] == (allow,)
        for name in sorted((*folders, *files)):
            path = Path(parent, name)
            try:
                if _is_plain(path.lstat()):
                    continue
            except FileNotFoundError:  # another process works in the folder
                continue
            if path.is_symlink() and fnmatchcase(path.relative_to(folder).as_posix(), pattern):
                continue
            target = os.path.realpath(path)
            if not (in_subfolder and allowed is not None and path.is_symlink() and target.startswith(allowed + os.sep)):
                return path
    return None


def _is_plain(info: os.stat_result) -> bool:
    junction = getattr(info, "st_reparse_tag", 0) == JUNCTION
    return not junction and (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode))


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}{PARTIAL}")


def _leftovers(path: Path) -> list[Path]:
    """What killed writers of ``path`` left beside it; earlier versions used a name without random digits."""
    try:
        names = os.listdir(path.parent)
    except FileNotFoundError:
        return []
    start = f"{path.name}."
    return [
        path.with_name(name)
        for name in names
        if name == path.name + PARTIAL
        or (name.startswith(start) and name.endswith(PARTIAL) and _is_token(name[len(start) : -len(PARTIAL)]))
    ]


def _is_token(text: str) -> bool:
    return len(text) == 16 and all(character in "0123456789abcdef" for character in text)


def _remove(path: Path) -> None:
    """Remove a folder, or a file or a link in its place; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the operating system write a file's content to the disk before its new name is written."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
