"""The state of a training run, read from its folder. This module imports nothing that trains."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit import layout
from plaudit.feedback import codec, events
from plaudit.feedback.store import Store
from plaudit.files import replace_bytes
from plaudit.server.media import Film, Scene, film
from plaudit.types import PlauditError

POINTS = 300  # of a curve: more than a screen can show
CURVES = {
    "control": ("true_return", "predicted_return", "holdout_accuracy", "labels", "progress", "steps_per_second"),
    "chat": ("held_out", "score", "kl", "accuracy", "tokens", "labels", "progress", "tokens_per_second"),
}
HIDDEN = ("true_return", "held_out")  # from annotators, because it could influence their answers
ASLEEP = 60.0  # seconds without news after which a run is thought to be stopped


@dataclass(frozen=True)
class Labels:
    """Numbers of comparisons: the run's goal, those asked, judged and waiting."""

    goal: int
    questions: int
    judged: int
    waiting: int


def predictions(folder: Path | None) -> dict[str, float]:
    """The reward model's P[first better] for each judgement, by id; {} if the run has not written any."""
    try:
        probabilities = {} if folder is None else json.loads((folder / layout.PREDICTIONS).read_bytes())
        return {str(name): float(value) for name, value in probabilities.items() if 0 <= value <= 1}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise PlauditError(
            f"{folder}/predictions.json cannot be read ({error}): delete it, the run writes it again"
        ) from error


@dataclass(frozen=True)
class LatestFilm:
    """A film of the latest clip, and the time at which that clip was made."""

    time: float
    film: Film


class LiveRun:
    """One run folder. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: list[dict[str, Any]] = []
        self._read = 0  # bytes of metrics.jsonl, always the end of a line
        self._latest: LatestFilm | None = None

    def settings(self) -> dict[str, Any]:
        """The run's own settings; raises :class:`PlauditError` when there are none."""
        path = self.folder / layout.CONFIG
        try:
            settings = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise PlauditError(f"{self.folder} holds no run that can be read ({error}): check --run") from error
        if not isinstance(settings, dict) or not ("environment" in settings or settings.get("kind") == "chat"):
            raise PlauditError(f"{path} holds no settings of a run: check --run")
        return settings

    @property
    def kind(self) -> str:
        """control: an agent in an environment; chat: a language model."""
        return str(self.settings().get("kind", "control"))

    @property
    def environment(self) -> str:
        """The id of the environment it trains in; the name of the model that it trains."""
        settings = self.settings()
        return str(settings["environment"]["id"] if self.kind == "control" else settings["model"]["model"])

    @property
    def project(self) -> str:
        """Where its questions stand."""
        return "default" if self.kind == "control" else "responses"

    def rows(self) -> list[dict[str, Any]]:
        """Metrics of every round so far; only what is new since the last call is read."""
        path = self.folder / layout.METRICS
        try:
            size = path.stat().st_size
            if size < self._read:  # a resumed run has taken rounds back
                self._rows, self._read = [], 0
            if size > self._read:
                with path.open("rb") as file:
                    file.seek(self._read)
                    fresh = file.read()
                whole = fresh[: fresh.rfind(b"\n") + 1]
                self._rows = [*self._rows, *(json.loads(line) for line in whole.splitlines())]
                self._read += len(whole)
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise PlauditError(f"{path} is damaged ({error}): restore it from a copy") from error
        return self._rows

    def curves(self, show_hidden: bool) -> dict[str, list[float | None]]:
        """Columns of the metrics, thinned to ``POINTS``; the hidden columns only if ``show_hidden``."""
        rows = self.rows()
        stride = -(-len(rows) // POINTS) or 1
        points = [row for number, row in enumerate(rows) if number % stride == 0 or number == len(rows) - 1]
        names = [name for name in CURVES[self.kind] if show_hidden or name not in HIDDEN]
        steps: list[float | None] = [float(row.get("step", row["round"])) for row in points]
        return {"step": steps, **{name: [row.get(name) for row in points] for name in names}}

    def labels(self, store: Store) -> Labels:
        """Counted in the store, so that an answer shows at once."""
        total, waiting = events.count_questions(store, self.project)
        goal = self.settings()["feedback"]["labels"]
        return Labels(int(goal), total, total - waiting, waiting)

    def list_judging(self, store: Store, now: float) -> list[str]:
        """The annotators who have a question before them, or answered one within the last minute."""
        return events.at_work(store, now, ASLEEP)

    def state(self, now: float) -> str:
        """In a word: starting, training, finishing, stopped or finished."""
        rows = self.rows()
        if rows and rows[-1].get("progress", 0) >= 1:
            return "finished"
        try:
            changed = max((self.folder / name).stat().st_mtime for name in (layout.METRICS, layout.CONFIG))
        except FileNotFoundError:
            return "starting"
        if not rows:
            return "starting"
        if now - changed > max(ASLEEP, 5 * rows[-1]["seconds"] / len(rows)):
            return "stopped"
        return "finishing" if (self.folder / layout.FINISH).exists() else "training"

    def finish(self) -> None:
        """Let the run come to its end with the answers that it has."""
        try:
            replace_bytes(self.folder / layout.FINISH, b"")
        except OSError as error:
            raise PlauditError(f"cannot write to {self.folder} ({error.strerror}): stop the run by Ctrl-C") from error

    def clip_time(self) -> float | None:
        """When the latest clip was made; None before the first."""
        try:
            return os.path.getmtime(self.folder / layout.LATEST_CLIP)
        except OSError:
            return None

    def clip(self) -> Film | None:
        """What the agent did last; None before the first clip."""
        time = self.clip_time()
        if time is None:
            return None
        if self._latest is None or self._latest.time != time:
            segment = codec.read((self.folder / layout.LATEST_CLIP).read_bytes())
            self._latest = LatestFilm(time, film(segment, Scene.of_run(self.settings())))
        return self._latest.film
