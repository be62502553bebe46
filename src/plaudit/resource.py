"""What is opened and must be closed again, such as a store: the end of a ``with`` block closes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Resource(ABC):
    """A context manager that returns itself and calls :meth:`close` at the end, also after an exception."""

    @abstractmethod
    def close(self) -> None:
        """Give up what is held; closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
