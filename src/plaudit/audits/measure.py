"""The protocol of a measure, and how measures are discovered."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol, TypeVar

from plaudit.audits.finding import Cure, Finding
from plaudit.types import PlauditError

Audited = TypeVar("Audited", contravariant=True)
FAMILIES = {  # folders of measures, by kind of subject
    "control": ("control", "people"),
    "chat": ("language", "people"),
    "reward": ("language",),
    "feedback": ("people",),
}


class Measure(Protocol[Audited]):
    """One measure: a file with an object called ``MEASURE`` that has these.

    ``order`` places its rows: 1 to 4 the learned reward, 5 to 8 people and data, 9 to 14 reward models of text, from
    15 the policy. ``report`` calls a function with a line of progress.
    """

    name: str
    title: str
    order: float

    def measurable(self, subject: Audited, /) -> str | None:
        """None, or in one line the reason why the measure cannot be taken here. It computes nothing."""
        ...

    def measure(self, subject: Audited, /) -> list[Finding]:
        """One row or several; what it raises becomes the reason of a row that is not measurable."""
        ...

    def cure(self, subject: Audited, finding: Finding, /) -> Cure | None:
        """What would help against a finding that warns or fails; it computes nothing.

        If that can be tried without new people or a new run, the cure's ``measure`` does so.
        """
        ...


def discover(kind: str, names: Sequence[str] = ()) -> list[Measure[Any]]:
    """The measures of a kind of subject, in their order; ``names`` chooses some of them, () all.

    Raises:
        PlauditError: there is no measure of a name in ``names`` for such a subject.
    """
    measures: dict[str, Measure[Any]] = {}
    for family in FAMILIES[kind]:
        package = import_module(f"plaudit.audits.{family}")
        for file in iter_modules(package.__path__):
            if not file.name.startswith("_"):  # what measures share
                measure: Measure[Any] = import_module(f"{package.__name__}.{file.name}").MEASURE
                if measures.setdefault(measure.name, measure) is not measure:
                    raise PlauditError(f"there are two measures called {measure.name!r}: rename one")
    unknown = [name for name in names if name not in measures]
    if unknown:
        raise PlauditError(f"there is no measure {unknown[0]!r} here: choose from {', '.join(sorted(measures))}")
    chosen = [measure for name, measure in measures.items() if not names or name in names]
    return sorted(chosen, key=lambda measure: (measure.order, measure.name))
