"""Start `worker.py` as one or several processes and wait for them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
PROJECT = WORKER.parents[2]


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    errors: str


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def run_workers(order: dict[str, Any], ranks: int = 1, limit: float = 90) -> list[Ended]:
    """Start the order on so many ranks; returns how each ended. A hang fails by its time limit."""
    port = str(free_port())
    started = [subprocess.Popen([sys.executable, str(WORKER), json.dumps(order)], stderr=subprocess.PIPE, text=True,
                                env=_environment(rank, ranks, port)) for rank in range(ranks)]
    try:
        errors = [process.communicate(timeout=limit)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    return [Ended(process.returncode, text) for process, text in zip(started, errors, strict=True)]


def _environment(rank: int, ranks: int, port: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    if ranks > 1:
        environment |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank),
                        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return environment
