"""How fast a run goes: time of steps, share spent waiting for data, memory, time left."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

GIB = 1 << 30
WINDOW = 50
"""steps that speeds and the time left are averaged over: long enough to smooth, short enough to follow"""


@dataclass(frozen=True)
class _Lap:
    seconds: float
    waited: float
    tokens: float
    samples: float


class Pace:
    """A clock for steps: `waiting()` around the wait for data, `lap()` at the end of each step."""

    def __init__(self) -> None:
        self._laps: deque[_Lap] = deque(maxlen=WINDOW)
        self._begin = time.perf_counter()
        self._waited = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begin

    def lap(self, tokens: float, samples: float) -> None:
        """A step is done, with this many supervised tokens and samples over all ranks."""
        now = time.perf_counter()
        self._laps.append(_Lap(now - self._begin, self._waited, tokens, samples))
        self.restart()

    def restart(self) -> None:
        """Leave out what happened since the last lap (validation, a checkpoint)."""
        self._begin, self._waited = time.perf_counter(), 0.0

    @property
    def tokens_per_second(self) -> float:
        return sum(lap.tokens for lap in self._laps) / self._seconds

    @property
    def samples_per_second(self) -> float:
        return sum(lap.samples for lap in self._laps) / self._seconds

    @property
    def data_wait(self) -> float:
        return sum(lap.waited for lap in self._laps) / self._seconds

    def seconds_left(self, steps: int) -> float:
        """Time for this many more steps."""
        return steps * self._seconds / max(len(self._laps), 1)

    @property
    def _seconds(self) -> float:
        return max(sum(lap.seconds for lap in self._laps), 1e-9)


def memory_gib(device: torch.device) -> float:
    """Peak memory so far on a CUDA device; this process's resident memory elsewhere (0 where unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    pages = int(statm.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / GIB
