"""Whose settings a run folder holds: a stranger's may name addresses, programs and files that are not theirs to use.

A user's own run continues without a question. When a run begins, Plaudit signs each name in its settings with a secret
of the user, which stays in their state folder. Folders that were moved keep their signatures, and so do folders whose
other settings were edited. If the signature of a name is missing or wrong, the user confirms the name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from plaudit import layout
from plaudit.files import create_secret, replace_text
from plaudit.reward.groups import is_file
from plaudit.run.disk import disk_errors
from plaudit.types import PlauditError

SECRET_BYTES = 32
LOCAL = ("tensorboard",)  # trackers that write into the run's folder
JUDGES = ("annotator", "judge")  # settings that name an annotator
FILES = (  # settings that name a file, a folder or a store
    *("data", "data.prompts", "data.demonstrations", "data.comparisons", "data.text", "data.template"),
    *("template", "model.model", "reward_model", "passages"),
)
WORDS = ("builtin", "explanations", "own", "transcript", "smollm2")  # values of FILES that name no file
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(:[\w.-]+)?")
ADDRESS = "an address, which would get texts of the run and the key in PLAUDIT_JUDGE_KEY"
STORE = "the address of a store, which would be read"
PROGRAM = "a program, which would run"
CODE = "the code of a model's author, which would run"
FILE = "not in the folder, and would be read"
TRACKER = "a service, which would get the metrics"
LENGTH = 200  # characters of a value in a message


@dataclasses.dataclass(frozen=True)
class Mention:
    """A setting that names something outside of the run's folder."""

    setting: str
    value: str
    role: str  # what it is, and what would become of it

    def __str__(self) -> str:
        value = self.value if len(self.value) <= LENGTH else f"{self.value[:LENGTH]}..."
        return f"{self.setting} {value!r} ({self.role})"


def find_mentions(config: Any) -> list[Mention]:
    """Every address, program and file that settings name, wherever the files are."""
    return [mention for path, value in _leaves(config) for mention in _classify(path, value)]


def sign(folder: Path, config: Any) -> None:
    """Declare the names in a run's settings, and its trackers, to be this user's.

    Without a private state folder nothing is written, and the run is treated as a stranger's.
    """
    names = [*find_mentions(config), *_trackers(folder)]
    key = _secret(create=True) if names else None
    if key is not None:
        with disk_errors(folder):
            id = secrets.token_hex(16)  # so that names signed in different runs cannot be combined in one
            signatures = sorted({_sign(key, id, mention) for mention in names})
            replace_text(folder / layout.ORIGIN, json.dumps({"id": id, "signatures": signatures}) + "\n")


def check_trust(folder: Path, config: Any, trust: bool = False, overrides: Collection[str] = ()) -> None:
    """Refuse settings that name something outside of the folder, unless this user signed them or trusts them now.

    Args:
        trust: the user confirms the names; they are signed, so that the next command asks no more.
        overrides: settings that the user gave again with this command.

    Raises:
        PlauditError: the names are not confirmed; the message lists them.
    """
    names = [*find_mentions(config), *_trackers(folder)]
    if trust:
        sign(folder, config)
        return
    root = folder.resolve()
    is_current = Path.cwd() == root or root in Path.cwd().parents  # a module of the folder would be imported
    unsigned = _find_unsigned(folder, names)
    foreign = [
        mention
        for mention in names
        if (mention in unsigned or (mention.role == PROGRAM and is_current))
        and not (mention.setting in overrides or _is_inside(mention, root))
    ]
    if foreign:
        raise PlauditError(
            f"{folder} was not made here by you, and its settings name things outside of it: "
            f"{'; '.join(map(str, foreign))}. If you trust every one of them, repeat the command with --trust (from a "
            "program: trust=True)"
        )


def check_settings_file(path: Path, stored: Any, config: Any, trust: bool) -> None:
    """Refuse names that a new run takes from the settings in a file, unless they are signed beside it or trusted.

    stored: the settings in the file. config: those of the new run.

    Raises:
        PlauditError: as :func:`check_trust`.
    """
    if trust:
        return
    final, root = set(find_mentions(config)), path.parent.resolve()
    unsigned = _find_unsigned(path.parent, find_mentions(stored))
    foreign = [mention for mention in unsigned if mention in final and not _is_inside(mention, root)]
    if foreign:
        raise PlauditError(
            f"{path} does not belong to a run that you made here, and it names {'; '.join(map(str, foreign))}. If you "
            "trust every one of them, repeat the command with --trust"
        )


def state_folder() -> Path | None:
    """The user's folder for the secret: PLAUDIT_STATE, or the system's; None if the user has no home."""
    if configured := os.environ.get("PLAUDIT_STATE"):
        return Path(configured)
    variable, fallback = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_STATE_HOME", "")
    try:
        base = Path(os.environ.get(variable) or Path.home() / (fallback or ".local/state"))
    except RuntimeError:
        return None
    return base / "plaudit"


def _leaves(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for setting in dataclasses.fields(settings):
        value = getattr(settings, setting.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{setting.name}.")
        else:
            yield prefix + setting.name, value


def _classify(path: str, value: Any) -> Iterator[Mention]:
    if path == "environment.imports":
        yield from (Mention(path, str(module), PROGRAM) for module in value)
    elif path == "environment.kwargs":
        yield from (Mention(path, text, FILE) for text in value if re.search(r"[/\\:]", text))
    elif path == "reward.groups":
        yield from (Mention(path, entry, FILE) for entry in value if is_file(entry))
    elif path.endswith("trust_remote_code") and value:
        yield Mention(path, "true", CODE)
    elif path in JUDGES and isinstance(value, str):
        yield from _classify_judge(path, value)
    elif path in FILES and value is not None:
        for name in [value] if isinstance(value, str) else value:
            if name not in WORDS:
                yield Mention(path, name, STORE if "://" in name else FILE)


def _classify_judge(path: str, name: str) -> Iterator[Mention]:
    """What an annotator's name mentions (:mod:`plaudit.annotators.text`)."""
    start, _, rest = name.partition(":")
    if start == "ai":
        model, _, query = rest.partition("?")
        if model != "local":
            yield Mention(path, f"ai:{model}", ADDRESS)
        if query:
            yield Mention(path, query, FILE)
    elif start == "rule":
        if ".py:" in rest:
            yield Mention(path, name, PROGRAM)
    elif rest and start != "program":  # an object of a program is no part of the folder
        yield Mention(path, name, PROGRAM)


def _trackers(folder: Path) -> list[Mention]:
    try:
        content = json.loads((folder / layout.TRACKERS).read_bytes())
        names = content["trackers"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise PlauditError(
            f"{folder / layout.TRACKERS} is damaged: remove it, and name the trackers again with --track"
        ) from error
    return [Mention(layout.TRACKERS, str(name), TRACKER) for name in names if name not in LOCAL]


def _is_inside(mention: Mention, folder: Path) -> bool:
    """Whether a file is in the run's folder, or is a model or a data set of the hub and no file here."""
    if mention.role != FILE or mention.setting in ("environment.kwargs", *JUDGES):
        return False
    path = Path(mention.value)
    if not path.exists() and HUB_ID.fullmatch(mention.value):
        return True
    return folder in path.resolve().parents


def _find_unsigned(folder: Path, names: list[Mention]) -> list[Mention]:
    """The names that this user did not sign in the folder; all, if it holds no readable signatures."""
    key = _secret(create=False)
    if key is None:
        return names
    try:
        content = json.loads((folder / layout.ORIGIN).read_bytes())
        id, signatures = str(content["id"]), [str(signature) for signature in content["signatures"]]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return names
    return [mention for mention in names if _sign(key, id, mention) not in signatures]


def _sign(key: bytes, id: str, mention: Mention) -> str:
    text = json.dumps(["plaudit run", id, mention.setting, mention.value])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _secret(create: bool) -> bytes | None:
    """The user's secret; None if there is none, or if another user could have read or written it."""
    folder = state_folder()
    if folder is None:
        return None
    path = folder / "secret"
    try:
        if create and not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_secret(path, SECRET_BYTES)
        private = os.name != "posix" or _is_private(path)
        key = path.read_bytes()
    except OSError:
        return None
    return key if private and len(key) == SECRET_BYTES else None


def _is_private(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISREG(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077
