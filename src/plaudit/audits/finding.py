"""What a measure says: a number with its interval, its null control, a verdict, and what would help."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from plaudit.types import PlauditError, shorten

Verdict = Literal["pass", "warn", "fail", "not measurable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
TRUE_REWARD = "the environment's reward"  # the eye of measures that ask nobody


@dataclass(frozen=True)
class Null:
    """A control that measures the same where there is nothing to see, such as shuffled scores."""

    name: str
    value: float

    def __post_init__(self) -> None:
        _check_number("Null.value", self.value)


@dataclass(frozen=True)
class Effect:
    """What a cure changed where it was tried: on stored judgements or checkpoints of what is audited.

    Attributes:
        setting: what was changed.
        meaning: one sentence; of a cure that could not be tried, the reason.
        before: the row's value without the cure, under the same conditions; None if it could not be tried.
        after: the row's value with it.
        helps: whether the value is better by more than chance explains, by a rule that was fixed beforehand.
        price: what the cure costs, by name: a number, or the reason why it is not measurable.
    """

    setting: str
    meaning: str
    before: float | None = None
    after: float | None = None
    helps: bool = False
    price: Mapping[str, float | str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if (self.before is None) != (self.after is None):
            raise ValueError(f"Effect of {self.setting}: before and after are both numbers, or both None")
        numbers = [value for value in (self.before, self.after, *self.price.values()) if not isinstance(value, str)]
        for value in numbers:
            if value is not None:
                _check_number("Effect", value)
        if self.helps and self.after is None:
            raise ValueError(f"Effect of {self.setting}: what was not tried cannot help")

    @property
    def verdict(self) -> str:
        """ "helps", "does not help", or "not measurable"."""
        return "not measurable" if self.after is None else "helps" if self.helps else "does not help"


@dataclass(frozen=True)
class Cure:
    """What would help, what it costs, and the line of configuration that applies it.

    Attributes:
        sentence: what would help.
        cost: what it costs, in words.
        setting: the line of configuration.
        measure: tries the cure on what is audited, with `--cures`; None if that takes new people or a new run. It is
            not stored.
        obstacle: why there is no ``measure``.
        effects: what ``measure`` returned.
    """

    sentence: str
    cost: str = ""
    setting: str = ""
    measure: Callable[[], Sequence[Effect]] | None = field(default=None, compare=False, repr=False)
    obstacle: str = field(default="it needs new answers", compare=False)
    effects: tuple[Effect, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        content = {"sentence": self.sentence, "cost": self.cost, "setting": self.setting}
        return content | {"effects": [dataclasses.asdict(effect) for effect in self.effects]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Cure:
        """The inverse of :meth:`to_json`."""
        values = dict(content)
        return cls(effects=tuple(Effect(**effect) for effect in values.pop("effects", ())), **values)


@dataclass(frozen=True)
class Finding:
    """One row of an audit: what was measured, on how much, by whose eye, and what that means.

    Attributes:
        name: of the measure, or of the measure and a part of it: ``"progress-gap"``.
        title: the row's heading.
        verdict: whether the value is on the right side of the threshold.
        meaning: one sentence; of a row that is not measurable, the reason.
        value: what was measured; None if it is not measurable.
        interval: 95 % unless the threshold says otherwise; None if there is none.
        n: what the value was measured on: pairs, answers, episodes.
        unit: of the value and the interval; "" for a share or a plain number.
        eye: whose judgement the value rests on.
        null: the null control.
        threshold: the rule for the verdict, fixed before the measurement.
        cure: what would help.
        details: further numbers and texts, by name.
    """

    name: str
    title: str
    verdict: Verdict
    meaning: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    unit: str = ""
    eye: str = ""
    null: Null | None = None
    threshold: str = ""
    cure: Cure | None = None
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"Finding.verdict must be one of {', '.join(VERDICTS)}, got {self.verdict!r}")
        if (self.value is None) != (self.verdict == "not measurable"):
            raise ValueError(f"Finding {self.name}: a value belongs to every verdict but 'not measurable'")
        if self.value is not None:
            _check_number("Finding.value", self.value)
        if self.interval is not None:
            low, high = self.interval
            _check_number("Finding.interval", low, infinite=True)
            _check_number("Finding.interval", high, infinite=True)
            if low > high:
                raise ValueError(f"Finding.interval must be (low, high), got {self.interval}")
        if self.n < 0:
            raise ValueError(f"Finding.n is a number of observations, got {self.n}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a bound that is not finite is null."""
        content = dataclasses.asdict(dataclasses.replace(self, cure=None))
        content["cure"] = None if self.cure is None else self.cure.to_json()
        if self.interval is not None:
            content["interval"] = [bound if math.isfinite(bound) else None for bound in self.interval]
        content["details"] = dict(self.details)
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Finding:
        """The inverse of :meth:`to_json`; raises :class:`PlauditError` if it is no finding."""
        try:
            values = dict(content)
            if values.get("interval") is not None:
                low, high = values["interval"]
                values["interval"] = (
                    -math.inf if low is None else float(low),
                    math.inf if high is None else float(high),
                )
            if values.get("null") is not None:
                values["null"] = Null(**values["null"])
            if values.get("cure") is not None:
                values["cure"] = Cure.from_json(values["cure"])
            return cls(**values)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise PlauditError(f"a finding of an audit is damaged ({shorten(str(error))}): audit again") from error


def not_measurable(name: str, title: str, reason: str) -> Finding:
    """The row of a measure that cannot be taken here."""
    return Finding(name, title, "not measurable", shorten(reason))


def _check_number(name: str, value: float, infinite: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not infinite and math.isinf(value):
        raise ValueError(f"{name} must be finite, got {value}")
