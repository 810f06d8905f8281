"""What a figure was taken on: processor, cores, versions, commit, and how fast this machine multiplies matrices."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent


def machine(threads: int | None = None) -> dict[str, Any]:
    """The processor's name as the system reports it, and its number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = {"load_average": round(os.getloadavg()[0], 2)} if hasattr(os, "getloadavg") else {}
    used = {} if threads is None else {"threads_used": threads}
    return {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count(), **used,
            "system": f"{platform.system()} {platform.machine()}", **load}


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and the packages, and the commit of this checkout."""
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return {"python": platform.python_version(), **{name: version(name) for name in packages},
            "commit": commit.stdout.strip() or "unknown"}


def matmul_rate(rows: int, inner: int, columns: int, *, seconds: float = 0.5) -> float:
    """fp32 GFLOP per CPU-second of [rows, inner] x [inner, columns] with the threads torch has now."""
    import torch

    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    left @ right
    number, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        left @ right
        number += 1
    return 2e-9 * rows * inner * columns * number / (time.process_time() - begin)
