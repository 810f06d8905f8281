"""One run at a time in a run folder: `run.lock` names the host and process of the first rank while it works there.

A lock is stale when its host is this one and its process is gone; of another host nobody here can know.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType

import psutil

from minigpt4.common.errors import UserError

LOCK = "run.lock"
SAME_START = 2.0
"""seconds by which two readings of one process' start may differ"""


class RunLock:
    """Holds `run.lock` of a folder between `take` and `release`.

    Args:
        folder: the run folder, which exists.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._held = False

    def take(self) -> None:
        """Raises `UserError` (code `train.locked`) where another run works in the folder."""
        content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _start_of(os.getpid())})
        for _ in range(2):
            try:
                with open(self.path, "x", encoding="utf-8") as file:
                    file.write(content + "\n")
            except FileExistsError:
                self._refuse_or_remove()
                continue
            self._held = True
            return
        raise UserError("train.locked", where=str(self.path), what="another run started here at the same moment",
                        fix="choose another run.output_dir")

    def release(self) -> None:
        if self._held:
            self.path.unlink(missing_ok=True)
            self._held = False

    def __enter__(self) -> RunLock:
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self.release()

    def _refuse_or_remove(self) -> None:
        host, pid, started = _read(self.path)
        if host and host != socket.gethostname():
            raise UserError("train.locked", where=str(self.path), what=f"process {pid} on {host} works in this folder",
                            fix=f"wait for it; if that machine is gone: rm {self.path}")
        if pid != os.getpid() and started is not None and _is_running(pid, started):
            raise UserError("train.locked", where=str(self.path), what=f"process {pid} works in this folder",
                            fix="wait for it, or choose another run.output_dir")
        self.path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[str, int, float | None]:
    """Host, process and its start; ("", 0, None) for a lock that a kill left empty."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["host"]), int(content["pid"]), float(content["started"])
    except (OSError, ValueError, KeyError, TypeError):  # gone meanwhile, or cut
        return "", 0, None


def _start_of(pid: int) -> float:
    return float(psutil.Process(pid).create_time())


def _is_running(pid: int, started: float) -> bool:
    """Whether the very process runs: numbers of processes are used again."""
    try:
        return abs(_start_of(pid) - started) < SAME_START and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
