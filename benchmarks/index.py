"""The index of three million members: rate, memory, bytes a member, time to open it again.

    python benchmarks/index.py             # about 4 GB in a temporary folder; writes benchmarks/results/index.json

Beside it: Python's tarfile over the same shards (what webdataset and wids walk with), and our walk over the headers
without grouping, which is the limit of what grouping can reach. CPU-seconds of all processes; the exit status is 1
where a figure misses its bar.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

from benchmarks.machine import machine, versions  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.datasets.formats.index_building import index_shards  # noqa: E402
from minigpt4.datasets.formats.tar_samples import samples_of  # noqa: E402
from minigpt4.datasets.formats.tar_walk import tar_members  # noqa: E402

SHARDS, SAMPLES, MEMBERS = 100, 10_000, 3
ROUNDS = 5
MIB = 1 << 20
BARS = {"members_per_cpu_second": 150_000, "growth_mib": 100, "bytes_per_member": 40, "reopen_ms": 10}
"""the first is the least, the others the most"""


def write_shard(path: Path, first: int) -> None:
    """A shard as img2dataset names its members; images are a few bytes, as only headers are read."""
    with open(path, "wb") as file:
        for number in range(first, first + SAMPLES):
            for ending, size in (("jpg", 500), ("json", 300), ("txt", 60)):
                info = tarfile.TarInfo(f"{number:09}.{ending}")
                info.size = size
                file.write(info.tobuf(tarfile.USTAR_FORMAT) + bytes(512))
        file.write(bytes(1024))


def resident_mib() -> float:
    """Resident memory of this process now, mapped files included."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def peak_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def build(folder: Path, keep_in: Path) -> dict[str, Any]:
    """Make the index in this process (and those it starts), then ask for samples all over it."""
    shards, before = sorted(folder.glob("*.tar")), resident_mib()
    begun, wall = os.times(), time.perf_counter()
    index = index_shards(shards, keep_in)
    now, seconds = os.times(), time.perf_counter() - wall
    spent = sum(now[:4]) - sum(begun[:4])
    for number in range(0, len(index), 97):
        index.range_of(number, "image")
    assert index.kept is not None
    members = len(index) * MEMBERS
    on_disk = sum(file.stat().st_size for file in index.kept.iterdir())
    return {"members": members, "shards": len(shards), "members_per_cpu_second": round(members / spent),
            "wall_seconds": round(seconds, 2), "growth_mib": round(peak_mib() - before, 1),
            "bytes_per_member": round(on_disk / members, 2)}


def reopened(folder: Path, keep_in: Path) -> dict[str, Any]:
    """Open the kept index again: every shard looked at, the files mapped, one sample asked for."""
    shards = sorted(folder.glob("*.tar"))
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        index_shards(shards, keep_in).range_of(0, "image")
        taken.append((time.perf_counter() - begun) * 1000)
    return {"reopen_ms": round(median(taken), 2)}


def walks(folder: Path) -> dict[str, int]:
    """Members a CPU-second of each way over one shard, in turns."""
    shard = min(folder.glob("*.tar"))

    def by_tarfile() -> None:
        with tarfile.open(shard) as tar:
            for _ in tar:
                pass

    ways: dict[str, Callable[[], object]] = {"tarfile": by_tarfile, "headers alone": lambda: list(tar_members(shard)),
                                             "index of a shard": lambda: samples_of(shard)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            rates[name] += [SAMPLES * MEMBERS / (time.process_time() - begun)] if number else []
    return {name: round(median(each)) for name, each in rates.items()}


def alone(*words: str) -> dict[str, Any]:
    """A step in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def missed(figures: dict[str, Any]) -> list[str]:
    """The names of figures that are not within their bars."""
    least = "members_per_cpu_second"
    return [name for name, bar in BARS.items() if (figures[name] < bar if name == least else figures[name] > bar)]


def main() -> int:
    parser = argparse.ArgumentParser(description="The index of three million members.")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "index.json")
    parser.add_argument("--step", choices=("build", "reopen"), help="only: one step, as JSON")
    parser.add_argument("--folders", nargs=2, type=Path, metavar=("SHARDS", "INDEX"))
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps((build if arguments.step == "build" else reopened)(*arguments.folders)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder, keep_in = Path(temporary) / "shards", Path(temporary) / "index"
        folder.mkdir()
        for number in range(SHARDS):
            write_shard(folder / f"{number:05}.tar", number * SAMPLES)
        places = ("--folders", str(folder), str(keep_in))
        built = [alone("--step", "build", "--folders", str(folder), str(keep_in / str(number))) for number in range(3)]
        figures = {**built[0], "members_per_cpu_second": median(each["members_per_cpu_second"] for each in built)}
        alone("--step", "build", *places)
        figures |= alone("--step", "reopen", *places) | {"walks_members_per_cpu_second": walks(folder)}
    write_json(arguments.output, {**figures, "bars": BARS, "machine": machine(), "versions": versions("numpy")})
    print(json.dumps(figures, indent=1))
    return 1 if missed(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
