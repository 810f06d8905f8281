"""Everybody who has the page open: who talks, who left, who fell asleep. What one leaves behind is freed at once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.inference.memory import SharedMemory
from minigpt4.serve.limits import Limits
from minigpt4.serve.line import Line
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.visitor import Visitor

OVERDUE_S = 30
"""an answer that was told to end has so long to do it before others go on"""


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
        self._here: OrderedDict[str, tuple[Visitor, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def __len__(self) -> int:
        return len(self._here)

    def of(self, session: str | None) -> Visitor:
        """The visitor of a session; a new one where none is known. Without a session it is nobody's and not kept."""
        if session is None:
            return self._new()
        with self._lock:
            visitor, _ = self._here.pop(session, (None, 0.0))
            visitor = visitor or self._new()
            self._here[session] = visitor, time.monotonic()
            surplus = [self._here.popitem(last=False)[1][0] for _ in range(len(self._here) - self.limits.visitors)]
        for one in surplus:
            one.end()
        return visitor

    def leave(self, session: str) -> None:
        """The tab was closed."""
        with self._lock:
            visitor, _ = self._here.pop(session, (None, 0.0))
        if visitor is not None:
            visitor.end()

    def sweep(self) -> None:
        """End conversations in which nothing was asked for long, and delete uploads without a question."""
        oldest = time.monotonic() - self.limits.idle_seconds
        with self._lock:
            idle = [visitor for visitor, seen in self._here.values() if seen < oldest and not visitor.ended]
        for visitor in idle:
            visitor.end()
        self.uploads.sweep()

    def watch(self) -> None:
        """Sweep from time to time, in the background, until `close`."""
        threading.Thread(target=self._sweep_again, name="minigpt4-page-sweep", daemon=True).start()

    def close(self) -> None:
        """End all conversations."""
        self._closed.set()
        with self._lock:
            everybody, self._here = [visitor for visitor, _ in self._here.values()], OrderedDict()
        for visitor in everybody:
            visitor.end()

    def _sweep_again(self) -> None:
        every = min(60.0, self.limits.idle_seconds, self.limits.unasked_seconds)
        while not self._closed.wait(every):
            self.sweep()

    def _new(self) -> Visitor:
        return Visitor(self.loaded, limits=self.limits, line=self.line, memory=self.memory, uploads=self.uploads)
