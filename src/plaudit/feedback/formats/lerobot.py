"""LeRobot datasets, version 3: states and actions of robots, as segments that people can be asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._record import Fields, Omissions, Record, Setting
from plaudit.feedback.formats.minari import segments, unwritable


class LeRobot(Format):
    """Only read."""

    name = "lerobot"
    title = "LeRobot v3 datasets"
    suffixes = ("a folder",)
    lossy: ClassVar[Mapping[str, str]] = {
        "observation.images.*, videos": "not read: only observation.state and action",
        "timestamp, task_index, next.reward, next.done, ...": "not read",
        "the end of an episode": "dropped where it is shorter than a segment",
        "versions before 3": "not read: LeRobot converts them",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """An episode that was read out of a folder."""
        return "episode" in first and "fps" in first

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """Segments, which nobody has been asked about yet."""
        yield from segments(row, setting)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """Raises :class:`PlauditError`."""
        raise unwritable(self.name)


FORMAT = LeRobot()
