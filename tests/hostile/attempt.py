"""Run a command or a piece of code on a hostile input and say how it ended: in a sentence, well, or badly."""

from __future__ import annotations

import contextlib
import io
import logging
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError

HANG_SECONDS = 20


class TookTooLong(BaseException):
    """No error handling of the code under test may swallow it."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Args:
        kind: accepted (exit 0), refused (a sentence), traceback, or hang.
        words: the sentence, or the end of the traceback.
        seconds: CPU time.
    """

    kind: str
    words: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.kind in ("accepted", "refused")


def attempt(deed: Callable[[], object]) -> Ending:
    """Call something that raises `UserError` for what it refuses."""
    start = time.process_time()
    kind, words = "accepted", ""
    try:
        with _time_limit():
            deed()
    except UserError as error:
        kind, words = "refused", str(error)
    except TookTooLong:
        kind, words = "hang", f"over {HANG_SECONDS} s"
    except Exception as error:
        kind, words = "traceback", "".join(traceback.format_exception(error)[-3:])
    return Ending(kind, words, time.process_time() - start)


def command(*words: str) -> Ending:
    """Run `minigpt4 WORDS…` in this process."""
    said, printed = io.StringIO(), io.StringIO()
    status: list[int] = []

    def run() -> None:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            try:
                status.append(main(list(words)))
            except SystemExit as ended:
                status.append(int(ended.code or 0))

    logging.getLogger("minigpt4").setLevel(logging.ERROR)
    ending = attempt(run)
    if ending.kind != "accepted" or status == [0]:
        return ending
    sentence = said.getvalue().strip() or printed.getvalue().strip()
    kind = "refused" if sentence and "Traceback" not in sentence else "traceback"
    return Ending(kind, sentence, ending.seconds)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def assert_all_good(endings: Sequence[tuple[str, Ending]]) -> None:
    """Fail with every attempt that ended badly."""
    bad = [f"{name}: {ending.kind}: {ending.words}" for name, ending in endings if not ending.is_good]
    assert not bad, f"{len(bad)} of {len(endings)} ended badly:\n" + "\n".join(bad)
