"""Memory and time of a whole process, sampled from outside: what a command takes of a machine. Linux only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SAMPLED_EVERY = 0.02
KIB_PER_GIB = 1024**2


@dataclass(frozen=True)
class Taken:
    """What a process took; GiB of anonymous memory (RssAnon: without mapped files)."""

    peak_gib: float
    wall_seconds: float
    cpu_seconds: float
    output: str


def anonymous_gib(process: int | str = "self") -> float:
    """RssAnon of a process now; 0 where it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return max((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), default=0
               ) / KIB_PER_GIB


def run_measured(command: Sequence[str], *, kill_when: Callable[[], bool] | None = None) -> Taken:
    """Run a command to its end, or kill -9 it when a condition holds.

    Args:
        command: its words.
        kill_when: asked again and again.

    Raises:
        SystemExit: it ended of its own accord with a status other than 0, or before it was to be killed.
    """
    begin, cpu, peak, killed = time.perf_counter(), os.times(), 0.0, False
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not killed:
            peak = max(peak, anonymous_gib(process.pid))
            if kill_when is not None and kill_when():
                process.kill()
                killed = True
            time.sleep(SAMPLED_EVERY)
        output = process.communicate()[0]
    if killed != (kill_when is not None) or (process.returncode and not killed):
        sys.exit(f"{' '.join(command[:6])} … ended with status {process.returncode}\n{output}")
    now = os.times()
    spent = now.children_user + now.children_system - cpu.children_user - cpu.children_system
    return Taken(peak, time.perf_counter() - begin, spent, output)
