"""The environment's true rewards, hidden from learners and available to oracles.

A ledger holds the last rollouts in memory and writes only the segments of questions to a file. An oracle in another
process, or after a restart, therefore judges them as it would have judged them at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from plaudit.files import open_to_append
from plaudit.types import Array, PlauditError, Segment, TrueReward


class Ledger:
    """A ring of the last ``size`` rollouts' true rewards, and a file of the segments of questions.

    One process writes (the one that collects); any number may read. ``path`` None keeps everything in memory.
    The file has precedence over the ring, and the first line about a segment or a round over later ones, so that a
    judgement depends on stored data alone.

    The file has one JSON object a line: ``{"segment": id, "rewards": [...]}``, and once for each round
    ``{"round": n, "reward_per_step": x}``: the scale of rewards at the time, from which skip and equal
    thresholds are made. ``reward_per_step`` may be given as a callable (mean recent episode return divided by the
    episode's length, None before the first episode); by default it is the mean reward over the ring.
    """

    def __init__(
        self, path: Path | None = None, size: int = 16, reward_per_step: Callable[[], float | None] | None = None
    ) -> None:
        if size < 1:
            raise PlauditError(f"truth: a ledger must hold at least one rollout, got size {size}")
        self._path = path
        self._size = size
        self._scale = self._mean_reward if reward_per_step is None else reward_per_step
        self._ring: dict[int, Array] = {}
        self._segment_rewards: dict[str, Array] = {}
        self._scales: dict[int, float | None] = {}
        self._read = 0  # bytes of the file that were read, up to the end of a line
        self._lines = 0
        self._repaired = False

    def add(self, record: TrueReward) -> None:
        """Take one rollout's rewards, by reference; the oldest rollout is dropped. A collector's sink."""
        self._ring.pop(record.rollout, None)
        self._ring[record.rollout] = record.rewards
        if len(self._ring) > self._size:
            del self._ring[next(iter(self._ring))]

    def join(self, rollouts: Iterable[int]) -> None:
        """Consecutive rollouts become one along time, under the first one's number, as the loop joins trajectories.

        Raises PlauditError if one of them was dropped.
        """
        parts = [(number, self.rewards(number)) for number in rollouts]
        if parts:
            self.add(TrueReward(parts[0][0], np.concatenate([rewards for _, rewards in parts], axis=1)))

    def rewards(self, rollout: int) -> Array:
        """True rewards (B, T) of a whole rollout, for the true-reward baseline; PlauditError if it was dropped."""
        try:
            return self._ring[rollout]
        except KeyError:
            raise PlauditError(self._describe_missing(rollout)) from None

    def rewards_of(self, segment: Segment) -> Array:
        """True rewards (L,) float32 of a segment, from the file, or from the ring if the file has none.

        Raises PlauditError if neither has it.
        """
        rewards = self._look_up(self._segment_rewards, segment.id)
        return self._from_ring(segment) if rewards is None else rewards

    def reward_per_step(self, round: int) -> float | None:
        """The scale of rewards that was stored when ``round`` was asked; None if it was still unknown."""
        return self._look_up(self._scales, round)

    def keep(self, segments: Iterable[Segment], round: int = 0) -> None:
        """Write the rewards that a round of questions needs to the disk before returning.

        Call this before the questions are asked, so that every question can be judged. A second call changes nothing.
        Raises PlauditError if a segment's rollout was dropped or the disk cannot be written.
        """
        self._refresh()
        lines: list[dict[str, object]] = []
        new_rewards: dict[str, Array] = {}
        for segment in segments:
            if segment.id not in self._segment_rewards and segment.id not in new_rewards:
                new_rewards[segment.id] = np.array(self._from_ring(segment), dtype=np.float32)
                lines.append({"segment": segment.id, "rewards": new_rewards[segment.id].tolist()})
        scales: dict[int, float | None] = {}
        if round not in self._scales:
            scale = self._scale()
            scales[round] = None if scale is None else float(scale)
            lines.append({"round": round, "reward_per_step": scales[round]})
        if lines and self._path is not None:
            self._append(self._path, lines)
        self._segment_rewards.update(new_rewards)
        self._scales.update(scales)

    def state(self) -> dict[str, Array]:
        """The ring by rollout number, for a checkpoint: a resumed run then holds what an uninterrupted one would."""
        return {str(rollout): rewards for rollout, rewards in self._ring.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Restore what :meth:`state` returned; the checkpoint may return it in any order."""
        self._ring = {int(rollout): state[rollout] for rollout in sorted(state, key=int)}

    def _mean_reward(self) -> float | None:
        steps = sum(rewards.size for rewards in self._ring.values())
        if steps == 0:
            return None
        return sum(float(rewards.sum(dtype=np.float64)) for rewards in self._ring.values()) / steps

    def _from_ring(self, segment: Segment) -> Array:
        source = segment.source
        if source is None:
            raise PlauditError(
                f"truth: segment {segment.id} has no source and was never written down{self._describe_path()}: "
                "an oracle can only judge segments that were cut from this run's rollouts"
            )
        rewards = self._ring.get(source.rollout)
        if rewards is None:
            problem = self._describe_missing(source.rollout)
            raise PlauditError(f"{problem}; segment {segment.id} was not written down before")
        end = source.start + len(segment)
        if not (0 <= source.row < rewards.shape[0] and source.start >= 0 and end <= rewards.shape[1]):
            raise PlauditError(
                f"truth: segment {segment.id} says it is row {source.row}, steps {source.start} to {end} of rollout "
                f"{source.rollout}, whose rewards are {rewards.shape}: trajectory and rewards do not belong together"
            )
        return rewards[source.row, source.start : end]

    def _describe_missing(self, rollout: int) -> str:
        contents = f"it holds {min(self._ring)} to {max(self._ring)}" if self._ring else "it holds none"
        return (
            f"truth: rollout {rollout} is not in the ledger ({contents}); ask sooner or enlarge its size {self._size}"
        )

    def _describe_path(self) -> str:
        return f" in {self._path}" if self._path is not None else ""

    def _look_up(self, table: dict, key: str | int):
        if key not in table:
            self._refresh()
        return table.get(key)

    def _refresh(self) -> None:
        """Read the lines that have been completed since the last read; an incomplete last line waits for its end."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._lines += 1
            self._take(line)
        self._read += len(whole)

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if "segment" in entry:
                self._segment_rewards.setdefault(entry["segment"], np.array(entry["rewards"], dtype=np.float32))
            else:
                self._scales.setdefault(int(entry["round"]), entry["reward_per_step"])
        except (ValueError, KeyError, TypeError) as error:
            raise PlauditError(
                f"{self._path}, line {self._lines}: not a record of true rewards ({error!r}); "
                "restore the file from a copy, or remove that line"
            ) from error

    def _append(self, path: Path, entries: list[dict[str, object]]) -> None:
        try:
            data = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
        except ValueError as error:
            raise PlauditError("truth: the environment gave a reward that is not a finite number") from error
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab", buffering=0, opener=open_to_append) as file:
                end = self._repair(file)
                try:
                    count = file.write(data)
                    if count != len(data):
                        raise OSError(f"only {count} of {len(data)} bytes were written")
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(end)
                    raise
        except OSError as error:
            raise PlauditError(f"truth: cannot write {path}: {error}; make room and resume") from error
        self._read = end + len(data)
        self._lines += len(entries)

    def _repair(self, file) -> int:
        """Once, cut off an incomplete last line of a killed writer; return where the next line starts."""
        if not self._repaired:
            file.truncate(self._read)  # keep() has just read every whole line
            self._repaired = True
        return file.seek(0, os.SEEK_END)
