"""The line of questions: one is answered at a time, a few may wait, and nobody can hold the place of one who left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minigpt4.common.errors import UserError

LOOK_AGAIN_S = 0.2
"""so soon a waiting question notices that it was stopped, or that the one before it is overdue"""


@dataclass(eq=False)
class _Ticket:
    person: object
    begun: float | None = None


class Line:
    """First come, first served.

    Args:
        places: questions that are answered or wait; one more is refused.
        places_each: the same, of one person.
        seconds: a question that was not finished after this time loses its place, whatever became of its reader.
    """

    def __init__(self, places: int, places_each: int, seconds: float) -> None:
        self.places, self.places_each, self.seconds = places, places_each, seconds
        self._tickets: list[_Ticket] = []
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._tickets)

    @contextmanager
    def place(self, person: object, stopped: threading.Event) -> Iterator[None]:
        """Wait for one's turn and hold it; a question that was stopped need not wait for the end of others.

        Raises:
            UserError: all places are taken.
        """
        ticket = self._enter(person)
        try:
            with self._changed:
                while not stopped.is_set() and ticket in self._tickets and not self._is_first(ticket):
                    self._changed.wait(LOOK_AGAIN_S)
            yield
        finally:
            self._drop(lambda other: other is ticket)

    def leave(self, person: object) -> None:
        """Give up all places of a person."""
        self._drop(lambda ticket: ticket.person is person)

    def _enter(self, person: object) -> _Ticket:
        with self._changed:
            if len(self._tickets) >= self.places:
                raise UserError("page.busy", what=f"{len(self._tickets)} questions are waiting already",
                                fix="ask again in a minute")
            if sum(ticket.person is person for ticket in self._tickets) >= self.places_each:
                raise UserError("page.busy_self", what="your last question has not been answered yet",
                                fix="wait for it or stop it")
            ticket = _Ticket(person)
            self._tickets.append(ticket)
            return ticket

    def _is_first(self, ticket: _Ticket) -> bool:
        now, first = time.monotonic(), self._tickets[0]
        if first is not ticket and first.begun is not None and now - first.begun > self.seconds:
            self._tickets.pop(0)
            first = self._tickets[0]
        if first is ticket:
            ticket.begun = now
        return first is ticket

    def _drop(self, which: Callable[[_Ticket], bool]) -> None:
        with self._changed:
            self._tickets = [ticket for ticket in self._tickets if not which(ticket)]
            self._changed.notify_all()
