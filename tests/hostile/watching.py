"""A stretch of a test that must end soon and start no program."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STARTS = frozenset(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
                     "pty.spawn", "webbrowser.open", "socket.connect"))


class TooSlow(BaseException):
    """No Exception: nothing that reads files may take it for a fault of the file."""


class _Watch:
    """What the audit hook, which Python never takes off again, finds while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.started: list[str] = []
        self.hooked = False

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event in _STARTS:
            self.started.append(f"{event} {arguments!r}"[:200])


_WATCH = _Watch()


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer, or starts a process or a connection."""
    if not _WATCH.hooked:
        sys.addaudithook(_WATCH.hook)
        _WATCH.hooked = True
    _WATCH.started.clear()
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    _WATCH.on = True
    try:
        yield
    finally:
        _WATCH.on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not _WATCH.started, _WATCH.started


def _too_slow(*_: object) -> None:
    raise TooSlow
