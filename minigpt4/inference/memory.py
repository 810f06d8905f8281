"""What conversations keep between questions, bounded over all of them: the least recently used is forgotten first.

Forgetting is never wrong, only slower: a key-value cache or image tokens that are gone are computed again.
"""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakKeyDictionary


class Forgettable(Protocol):
    """Something that can be computed again."""

    @property
    def nbytes(self) -> int:
        """Bytes it takes now."""

    def clear(self) -> None:
        """Give them back."""


class SharedMemory:
    """One bound on the bytes of key-value caches and image tokens of many conversations.

    Args:
        limit: bytes of all of them together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: WeakKeyDictionary[Forgettable, int] = WeakKeyDictionary()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is kept."""
        with self._lock:
            return sum(self._kept.values())

    def used(self, thing: Forgettable) -> None:
        """Note that a thing was used just now; the oldest ones are cleared until all of them fit."""
        with self._lock:
            self._kept.pop(thing, None)
            self._kept[thing] = thing.nbytes
            total = sum(self._kept.values())
            for oldest in list(self._kept):
                if total <= self.limit:
                    break
                total -= self._kept.pop(oldest)
                oldest.clear()
