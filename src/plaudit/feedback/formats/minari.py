"""Minari datasets, and HDF5 files of D4RL: episodes cut into segments that people can be asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Fields, Omissions, Record, Setting
from plaudit.types import PlauditError, Segment, Source


def segments(row: Fields, setting: Setting) -> Iterator[Record]:
    """An episode's segments, one behind the other; what is left at the end is too short, and is dropped."""
    observations, actions = row.get("observations"), row.get("actions")
    if len(observations) < setting.length:
        raise row.fault("observations", f"are {len(observations)} steps, fewer than a segment's {setting.length}")
    for start in range(0, len(observations) - setting.length + 1, setting.length):
        steps = slice(start, start + setting.length)
        source = Source(0, int(row.get("episode")), start)
        yield Record(None, (Segment(observations[steps], actions[steps], source=source),))


def unwritable(name: str) -> PlauditError:
    """Why a store of judgements is no dataset of episodes."""
    return PlauditError(f"{name} holds episodes and no judgements, so it is only read: export with --format plaudit")


class Minari(Format):
    """Only read."""

    name = "minari"
    title = "Minari datasets"
    suffixes = ("a folder",)
    lossy: ClassVar[Mapping[str, str]] = {
        "observations, actions": "Dict and Tuple spaces are flattened, keys sorted; text spaces are not read",
        "rewards, terminations, truncations, infos": "not read",
        "terminals, timeouts": "D4RL's: an episode ends there",
        "the last observation": "has no action, and belongs to no segment",
        "the end of an episode": "dropped where it is shorter than a segment",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """An episode that was read out of a folder."""
        return "episode" in first and "fps" not in first

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """Segments, which nobody has been asked about yet."""
        yield from segments(row, setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """Raises :class:`PlauditError`."""
        raise unwritable(self.name)


FORMAT = Minari()
