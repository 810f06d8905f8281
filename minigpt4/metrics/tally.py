"""A sum and a count that become a mean at the end: the only form in which means add up over batches and ranks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """`total` over `count` things (tokens, captions, …)."""

    total: float = 0.0
    count: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.total + other.total, self.count + other.count)

    @property
    def mean(self) -> float | None:
        """None if nothing was counted: an empty mean is undefined."""
        return self.total / self.count if self.count else None
