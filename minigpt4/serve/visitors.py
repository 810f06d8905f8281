"""Everybody who has the page open: who talks, who left, who fell asleep. What one leaves behind is freed.

A browser that can come back (a reload, a phone that slept) shows a token that it made itself; without one, leaving is
the end.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.inference.memory import SharedMemory
from minigpt4.serve.limits import Limits
from minigpt4.serve.line import Line
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.visitor import Visitor

OVERDUE_S = 30
"""an answer that was told to end has so long to do it before others go on"""
TOKEN = re.compile(r"[0-9a-f]{64}")
"""256 random bits; anything else is no token"""


@dataclass(frozen=True)
class _Place:
    """A visitor at a session: when something was asked or left there, and the token of its browser (empty = none)."""

    visitor: Visitor
    seen: float
    token: str = ""


class Visitors:
    """The conversations of all open pages, by the session that gradio gives each of them.

    Args:
        loaded: the model they share.
        uploads: their files.
        limits: bounds of each and of all.
    """

    def __init__(self, loaded: LoadedModel, uploads: Uploads, limits: Limits) -> None:
        self.loaded, self.uploads, self.limits = loaded, uploads, limits
        self.line = Line(limits.waiting, limits.waiting_each, limits.answer_seconds + OVERDUE_S)
        self.memory = SharedMemory(limits.kept_bytes)
        self._here: OrderedDict[str, _Place] = OrderedDict()
        self._away: OrderedDict[str, _Place] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        uploads.make_way = self.make_way

    def __len__(self) -> int:
        """Conversations that are kept."""
        with self._lock:
            return len({id(place.visitor) for place in (*self._here.values(), *self._away.values())})

    def of(self, session: str | None) -> Visitor:
        """The visitor of a session; a new one where none is known. Without a session it is nobody's and not kept."""
        return self.arrive(session, "")

    def arrive(self, session: str | None, token: str) -> Visitor:
        """The visitor of a session whose browser shows this token, perhaps from another session before.

        Args:
            session: gradio's; None = nobody's.
            token: as the browser keeps it; what is none counts as absent.
        """
        if session is None:
            return self._new()
        token = token if TOKEN.fullmatch(token) else ""
        with self._lock:
            place = self._here.pop(session, None) or self._away.pop(session, None)
            if place is None or (token and token != place.token and not place.visitor.messages):
                place = self._with_token(token) or place
            visitor = place.visitor if place else self._new()
            known = token or (place.token if place else "")
            self._here[session] = _Place(visitor, time.monotonic(), known)
            surplus = self._surplus()
        for one in surplus:
            one.end()
        return visitor

    def leave(self, session: str) -> None:
        """The tab was closed, or is being loaded anew: one that can come back is waited for."""
        with self._lock:
            place = self._here.pop(session, None)
            if place is None or self._is_here(place.visitor):
                return
            if place.token:
                self._away[session] = _Place(place.visitor, time.monotonic(), place.token)
        if place.token:
            place.visitor.stop()
        else:
            place.visitor.end()

    def sweep(self) -> None:
        """End conversations in which nothing was asked for long, or that were left, and delete uploads without a
        question.
        """
        now = time.monotonic()
        with self._lock:
            idle = [place.visitor for place in self._here.values()
                    if place.seen < now - self.limits.idle_seconds and not place.visitor.ended]
            gone = [session for session, place in self._away.items() if place.seen < now - self.limits.away_seconds]
            idle += [self._away.pop(session).visitor for session in gone]
        for visitor in idle:
            visitor.end()
        self.uploads.sweep()

    def make_way(self) -> bool:
        """End the conversation that was left longest ago; False where none was left."""
        with self._lock:
            place = self._away.popitem(last=False)[1] if self._away else None
        if place is not None:
            place.visitor.end()
        return place is not None

    def watch(self) -> None:
        """Sweep from time to time, in the background, until `close`."""
        threading.Thread(target=self._sweep_again, name="minigpt4-page-sweep", daemon=True).start()

    def close(self) -> None:
        """End all conversations."""
        self._closed.set()
        with self._lock:
            everybody = [place.visitor for place in (*self._here.values(), *self._away.values())]
            self._here.clear()
            self._away.clear()
        for visitor in everybody:
            visitor.end()

    def _sweep_again(self) -> None:
        limits = self.limits
        every = min(60.0, limits.idle_seconds, limits.unasked_seconds, limits.away_seconds)
        while not self._closed.wait(every):
            self.sweep()

    def _with_token(self, token: str) -> _Place | None:
        """Where this browser was before; a page that is loaded anew may come before its old self has left."""
        if not token:
            return None
        for session, place in self._away.items():
            if place.token == token:
                return self._away.pop(session)
        return next((place for place in self._here.values() if place.token == token), None)

    def _is_here(self, visitor: Visitor) -> bool:
        return any(place.visitor is visitor for place in self._here.values())

    def _surplus(self) -> list[Visitor]:
        """Taken out: more than may be kept, those who left first."""
        surplus = []
        while len(self._here) + len(self._away) > self.limits.visitors:
            place = (self._away or self._here).popitem(last=False)[1]
            if not self._is_here(place.visitor):
                surplus.append(place.visitor)
        return surplus

    def _new(self) -> Visitor:
        return Visitor(self.loaded, limits=self.limits, line=self.line, memory=self.memory, uploads=self.uploads)
