"""One run at a time in a run folder: `run.lock` names the host and process of the first rank while it works there.

A lock is stale when its host is this one and its process is gone; of another host nobody here can know, unless the same
launch left it (torchrun's run id, SLURM's job id): a restart may find the first rank on another machine.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
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
        content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _start_of(os.getpid()),
                              "launch": launch_of(os.environ)})
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
        host, pid, started, launch = _read(self.path)
        again = bool(launch) and launch == launch_of(os.environ)
        if host and host != socket.gethostname() and not again:
            raise UserError("train.locked", where=str(self.path), what=f"process {pid} on {host} works in this folder",
                            fix=f"wait for it; if that machine is gone: rm {self.path}")
        if host == socket.gethostname() and pid != os.getpid() and started is not None and _is_running(pid, started):
            raise UserError("train.locked", where=str(self.path), what=f"process {pid} works in this folder",
                            fix="wait for it, or choose another run.output_dir")
        self.path.unlink(missing_ok=True)


def launch_of(environment: Mapping[str, str]) -> str:
    """What all restarts of a run have in common, and no other run; '' where nobody gave it such a name."""
    names = {kind: environment.get(kind, "") for kind in ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")}
    return next((f"{kind} {name}" for kind, name in names.items() if name not in ("", "none")), "")


def _read(path: Path) -> tuple[str, int, float | None, str]:
    """Host, process, its start and launch; ("", 0, None, "") for a lock that a kill left empty."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return (str(content["host"]), int(content["pid"]), float(content["started"]), str(content.get("launch", "")))
    except (OSError, ValueError, KeyError, TypeError):  # gone meanwhile, or cut
        return "", 0, None, ""


def _start_of(pid: int) -> float:
    return float(psutil.Process(pid).create_time())


def _is_running(pid: int, started: float) -> bool:
    """Whether the very process runs: numbers of processes are used again."""
    try:
        return abs(_start_of(pid) - started) < SAME_START and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
