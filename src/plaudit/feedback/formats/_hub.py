"""Data sets of the Hugging Face hub by their ids: the datasets library reads them, from its cache if it is offline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plaudit.feedback.formats._episodes import MINARI_ID, find_minari
from plaudit.feedback.formats._record import Row
from plaudit.feedback.formats._tables import choose_split
from plaudit.types import PlauditError

ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::([\w.-]+))?")  # owner/name or owner/name:configuration
FILES = re.compile(
    r"\.(jsonl?|ndjson|[ct]sv|gz|parquet|arrow|feather|txt|md|xml|h5|hdf5|sqlite3?|db|zip|xlsx?|pk?l|pt)$"
)
TIMEOUT = 10.0  # seconds until the hub's first reply
INSTALL = "pip install -e '.[datasets]'"


def is_hub_id(path: Path) -> bool:
    """Whether a name that is no path looks like the id of a data set: owner/name, or owner/name:configuration."""
    name = path.as_posix()
    if ID.fullmatch(name) is None or FILES.search(name.casefold()):
        return False
    return not path.exists() and not Path(path.parts[0]).exists()


def exists(path: Path) -> bool:
    """Whether there is a file or a folder of this name, or it is or looks like a data set of Minari or of the hub."""
    return path.exists() or is_hub_id(path) or find_minari(path) is not None


def describe_missing(path: Path) -> str:
    """What to do about a file that does not exist."""
    if MINARI_ID.fullmatch(path.as_posix()):
        return f"check the path, or if it is a data set of Minari, download it first: minari download {path.as_posix()}"
    return "check the path"


def read_dataset(path: Path, split: str | None, on_note: Callable[[str], None]) -> Iterator[Row]:
    """The rows of a data set of the hub.

    Raises:
        PlauditError: the datasets library is missing, or the data set or its split cannot be had.
    """
    match = ID.fullmatch(path.as_posix())
    name, config = (match[1], match[2]) if match else (path.as_posix(), None)
    loaded = _load(name, config, split)
    if isinstance(loaded, dict):  # of the parts by their splits
        splits = list(loaded)
        choice = choose_split(splits, split, path)
        if len(splits) > 1:
            on_note(f"the split {choice} was read, of {', '.join(splits)}: --split chooses another")
        loaded = loaded[choice]
    for number, value in enumerate(loaded, 1):
        yield Row(f"row {number}", value)


def _load(name: str, config: str | None, split: str | None) -> Any:
    try:
        import datasets  # pyright: ignore[reportMissingImports]
        import huggingface_hub
    except ImportError as error:
        raise PlauditError(
            f"there is no file or folder {name}, and to read a data set of the hub install the datasets library "
            f"({INSTALL}): check the path, or install it"
        ) from error
    with _offline_if_unreachable(datasets, huggingface_hub, name) as offline:
        try:
            return datasets.load_dataset(name, config, split=split)
        except Exception as error:  # the library and what it reads with may raise anything
            lines = str(error).strip().splitlines()
            reason = lines[0].rstrip(".") if lines else type(error).__name__
            if isinstance(error, ValueError):  # of the split or the configuration
                advice = "choose with --split, or as owner/name:configuration"
                raise PlauditError(f"{name} cannot be read ({reason}): {advice}") from error
            advice = "check its name (owner/name, or owner/name:configuration), or name a file"
            if offline:
                reason = f"the hub is out of reach, and the cache of the datasets library does not have it: {reason}"
                advice = "load it once with a network, or name a file"
            raise PlauditError(
                f"there is no file or folder {name}, and no such data set ({reason}): {advice}"
            ) from error


@contextmanager
def _offline_if_unreachable(datasets: Any, huggingface_hub: Any, name: str) -> Iterator[bool]:
    """Whether the hub is out of reach; the library then reads its cache at once, and not after minutes of tries."""
    constants = huggingface_hub.constants
    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    offline = any(before) or not _is_reachable(huggingface_hub, name)
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = offline
    try:
        yield offline
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _is_reachable(huggingface_hub: Any, name: str) -> bool:
    """Whether the hub replies, also with a refusal."""
    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=TIMEOUT)
    except (huggingface_hub.errors.HfHubHTTPError, ValueError):
        return True
    except Exception:  # raised by the hub's HTTP library, which has been three libraries so far
        return False
    return True
