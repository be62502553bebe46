"""`plaudit tune spans`: a reward of passages, fitted to the marks that people made in responses."""

from __future__ import annotations

from dataclasses import dataclass, field

from plaudit.feedback.store import Store
from plaudit.language.data import Counts, split
from plaudit.language.spans import MarkedResponse, Marks, SpanConfig, SpanReward, categories_in, read_marks
from plaudit.language.text import Chat
from plaudit.language.tune import TuneConfig, Tuner
from plaudit.run.language.tune.config import TuningConfig
from plaudit.run.language.tune.data import Data, Sides, check_files, check_sides, load_model, read
from plaudit.run.language.tune.method import Method, Recipe, Result
from plaudit.types import PlauditError


@dataclass(frozen=True)
class SpansConfig(TuningConfig):
    """A reward of passages, fitted to the marks that people made in responses."""

    heads_learn = True
    data: tuple[str, ...] = ()
    """Files with marked spans (any that `plaudit import` reads), or stores (.sqlite, ...)."""
    spans: SpanConfig = field(default_factory=SpanConfig)
    fit: TuneConfig = field(default_factory=lambda: TuneConfig(learning_rate=5e-5, epochs=3))


def spans(config: SpansConfig) -> Recipe:
    """Marks in responses, to which a reward of their passages is fitted.

    Raises:
        PlauditError: as :func:`plaudit.run.language.tune.sft.sft`; no passage was marked with one of the categories.
    """
    check_files(config)
    reward = SpanReward(load_model(config), config.spans)
    chat, length = Chat(reward.model), min(config.fit.length, reward.model.window)
    names: set[str] = set()

    def reader(store: Store) -> tuple[list[MarkedResponse], Counts]:
        names.update(categories_in(store))
        return read_marks(store, chat, config.spans, reward.segments, length)

    def name_missing() -> str:
        missing = [category for category in config.spans.categories if category not in names]
        known_names = ", ".join(sorted(names))
        return f"; nothing could be marked as {', '.join(missing)}: name some of {known_names} with --spans.categories"

    examples, counts, files = read(config, chat, reader, lambda: name_missing() if names else "")
    if not names >= set(config.spans.categories):
        raise PlauditError(f"{', '.join(config.data)}{name_missing()}")
    sides = Sides(*split(examples, config.held_out, config.seed))
    check_sides(config, sides)
    data = Data.count(counts, files, sides)
    return Recipe(reward.model, reward, Marks(reward), lambda run, progress: sides, _measure, reward.save, data)


def _measure(tuner: Tuner[MarkedResponse], sides: Sides, before: float | None) -> Result:
    """How often the reward is right about a held-out passage, and how often it would be if it found no fault."""
    if not sides.held_out:
        return Result({}, "nothing was held out")
    metrics = tuner.evaluate(sides.held_out)
    accuracy, constant = metrics["accuracy"], metrics["constant"]
    passages = sum(len(example.ends) for example in sides.held_out)
    line = (
        f"held-out marks: right {100 * accuracy:.1f} % of the time about {passages} passages and each category, "
        f'"no fault" everywhere {100 * constant:.1f} %'
    )
    numbers = {"accuracy": accuracy, "constant": constant, "log_loss": metrics["loss"], "passages": passages}
    return Result(numbers, line)


SPANS = Method(
    "spans",
    SpansConfig,
    spans,
    "fit a reward of passages to the marks that people made in responses",
    "Fit a reward of passages to the marks that people made in responses (fine-grained feedback). --passages of\n"
    "plaudit train chat takes OUT/model.",
    (
        "plaudit tune spans feedback.sqlite",
        "plaudit tune spans marks.json --spans.categories Unverifiable Irrelevant --train full",
    ),
    common=("spans.categories", "spans.weights"),
)
