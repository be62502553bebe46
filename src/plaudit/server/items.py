"""A cache of items: a page gets a question with its clips, and asks for each clip's film next."""

from __future__ import annotations

from collections.abc import Sequence

from plaudit.feedback.store import Store
from plaudit.server.remembered import Cache
from plaudit.types import Item, Segment

REMEMBERED = 64 * 2**20  # bytes


class Items:
    """Items by id, which never change; up to ``capacity`` bytes of them. Threads may share it."""

    def __init__(self, capacity: int = REMEMBERED) -> None:
        self._items: Cache[str, Item] = Cache(capacity, _size)

    def get(self, store: Store, ids: Sequence[str]) -> dict[str, Item]:
        """As :meth:`Store.items`, by id."""
        items = {identity: item for identity in ids if (item := self._items.get(identity)) is not None}
        missing = [identity for identity in dict.fromkeys(ids) if identity not in items]
        if missing:
            for item in store.items(missing):
                self._items.add(item.id, item)
                items[item.id] = item
        return items


def _size(item: Item) -> int:
    if not isinstance(item, Segment):
        return 500 + sum(len(message.content) for message in item.messages)
    arrays = (item.observations, item.actions, item.states)
    return 500 + sum(array.nbytes for array in arrays if array is not None)
