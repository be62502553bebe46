"""The settings of a server: its store, the address that it listens at, the address that links begin with."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from plaudit.files import create_secret, find_link
from plaudit.types import PlauditError

SECRET_BYTES = 32
WILDCARDS = ("0.0.0.0", "::", "")


class Address(Protocol):
    """Where a server listens, and where people reach it."""

    @property
    def host(self) -> str:
        """Address to listen at."""
        ...

    @property
    def public_url(self) -> str | None:
        """Address behind a reverse proxy."""
        ...

    @property
    def secure(self) -> bool:
        """Whether people reach the server by https only."""
        ...


@dataclass(frozen=True)
class Caps:
    """What one person may take. Raises :class:`PlauditError` for numbers below 1."""

    leases: int = 30
    """Questions that one person may have reserved at once."""
    surplus: int = 200
    """Answers of one person a day to questions that others have settled; they are kept, but do not count."""
    turns: int = 3
    """Responses of the live model that one person may be waiting for at once."""
    megabytes: int = 200
    """Megabytes of answers and drafts that one person may send a day."""
    requests: int = 50
    """Requests a second of one person; more may come at once for a short time."""

    def __post_init__(self) -> None:
        for cap in fields(self):
            value = getattr(self, cap.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PlauditError(f"caps.{cap.name} must be a whole number of at least 1, got {value!r}")


@dataclass(frozen=True)
class ServerConfig:
    """One server. Raises :class:`PlauditError` for addresses that are not possible."""

    store: str
    """Path or URL of the feedback store."""
    folder: Path
    """Folder for the secret (mode 0600) and backups/."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 is every IPv4 address of this machine."""
    port: int = 8777
    """Port to listen at; 0 takes a free one."""
    public_url: str | None = None
    """Address in links, behind a reverse proxy; https:// makes cookies Secure."""
    endpoint: str | None = None
    """An OpenAI-compatible URL, for conversations and chats."""
    endpoint_model: str = ""
    """Name of the model at the endpoint."""
    endpoint_key_env: str = "PLAUDIT_ENDPOINT_KEY"
    """The environment variable that holds the endpoint's key; the key is never stored."""
    run: Path | None = None
    """Folder of the training run that the server belongs to, if any."""
    scene: Path | None = None
    """Folder of the run that is audited: its environment draws the clips, and its page is not shown."""
    session_days: int = 30
    """Days after which people must sign in again."""
    caps: Caps = field(default_factory=Caps)
    """Caps for each person."""

    def __post_init__(self) -> None:
        if not isinstance(self.port, int) or not 0 <= self.port <= 65535:
            raise PlauditError(f"port must be a number in 0..65535, got {self.port!r}")
        if not isinstance(self.host, str) or not self.host:
            raise PlauditError(f"host must be an address such as '127.0.0.1', got {self.host!r}")
        if self.session_days < 1:
            raise PlauditError(f"session_days must be at least 1, got {self.session_days}")
        for name in ("public_url", "endpoint"):
            address = getattr(self, name)
            if address is not None:
                _check_url(name, address, path=name == "endpoint")

    @property
    def url(self) -> str:
        """The address that links begin with, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = "localhost" if self.host in WILDCARDS else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether people reach the server by https only."""
        return self.url.startswith("https://")

    def to_json(self) -> str:
        """One line that :meth:`from_json` reads; it holds no secret but what stands in the store's URL."""
        return json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()})

    @classmethod
    def from_json(cls, text: str) -> ServerConfig:
        """The settings that :meth:`to_json` wrote; raises :class:`PlauditError` for anything else."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise PlauditError(f"a server's settings must be JSON: {error}") from error
        if not isinstance(data, Mapping):
            raise PlauditError("a server's settings must be a JSON object")
        unknown = sorted(set(data) - {field.name for field in fields(cls)})
        if unknown or not {"store", "folder"} <= set(data):
            raise PlauditError(f"a server's settings have store and folder, and no {unknown or 'others'}")
        paths = {name: Path(data[name]) for name in ("folder", "run", "scene") if data.get(name) is not None}
        values: dict[str, Any] = {**data, **paths}
        if "caps" in data:
            try:
                values["caps"] = Caps(**data["caps"])
            except TypeError as error:
                raise PlauditError(f"a server's caps are an object with known names: {error}") from error
        return cls(**values)


def _check_url(name: str, address: str, path: bool) -> None:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise PlauditError(f"{name} is not an address ({error}): give http://HOST:PORT or https://HOST") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PlauditError(f"{name} must begin with http:// or https:// and name a host, got {address!r}")
    if not path and (parts.path not in ("", "/") or parts.query or parts.fragment or parts.username):
        raise PlauditError(f"{name} must be an address alone, as https://HOST, got {address!r}: serve it from the root")


def check_links(folder: Path) -> None:
    """Raise :class:`PlauditError` if the folder of a server holds a link, through which the server would write."""
    try:
        link = find_link(folder) if folder.is_dir() else None
    except OSError as error:
        raise PlauditError(f"cannot read {folder} ({error.strerror}): make it readable, or name another") from error
    if link is not None:
        raise PlauditError(
            f"{link} is a link or no ordinary file, and the folder of a server holds files and folders only: put a "
            "copy of what it stands for in its place, or remove it; a store elsewhere is named by --store"
        )


def make_private(folder: Path) -> None:
    """Make the folder of a server, for its owner only; other users of the machine lose access to one that exists."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
        if os.name == "posix" and mode & 0o007 and (folder / "secret").exists():
            folder.chmod(mode & ~0o007)
    except OSError as error:
        raise PlauditError(f"cannot make the folder {folder} ({error.strerror}): name another by --folder") from error


def create_store(store: str) -> None:
    """Make the empty file of a new SQLite store, for its owner only: it will hold people's names."""
    name = store.removeprefix("sqlite:///")
    if "://" in name or not Path(name).parent.is_dir():
        return
    with suppress(OSError):  # there is one, or opening it will say why it cannot be
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def secret(folder: Path) -> bytes:
    """The 32 random bytes of ``folder/secret``, made at the first call and readable by their owner only.

    Raises :class:`PlauditError` when others may read the file, or it cannot be made or is no such file.
    """
    path = folder / "secret"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            create_secret(path, SECRET_BYTES)
        mode = path.stat().st_mode
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise PlauditError(
                f"others may read {path} (mode {stat.S_IMODE(mode):04o}): chmod 600 it, or delete it to get a new one"
            )
        content = path.read_bytes()
    except OSError as error:
        raise PlauditError(f"cannot keep a secret in {path} ({error.strerror}): make the folder writable") from error
    if len(content) != SECRET_BYTES:
        raise PlauditError(f"{path} is not a secret of {SECRET_BYTES} bytes: delete it to get a new one")
    return content
