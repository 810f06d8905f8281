"""`minigpt4 data prepare` on a list of two million rows: memory and time.

    python benchmarks/prepare.py    # 0.4 GB in a temporary folder; writes benchmarks/results/prepare.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

from benchmarks.machine import machine, versions  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402

ROWS = 2_000_000
BAR_MIB = 500
CHILD = ("import resource, sys; from minigpt4.cli.main import main; status = main(sys.argv[1:]); "
         "usage = resource.getrusage(resource.RUSAGE_SELF); "
         "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]; "
         "print('TAKEN', int(peak) / 1024, usage.ru_utime + usage.ru_stime); sys.exit(status)")


def write_list(path: Path, rows: int) -> None:
    """A list as BLIP's, with quotes, escapes and letters beyond ASCII."""
    with open(path, "w", encoding="utf-8") as file:
        for number in range(rows):
            row = {"url": f"https://images.example.com/some/rather/long/path/{number:012}.jpg?size=large",
                   "caption": f'a "photograph" of thing number {number} on a wooden table, größer {number % 7}'}
            file.write(("[" if number == 0 else ", ") + json.dumps(row, ensure_ascii=number % 2 == 0))
        file.write("]")


def taken(source: Path, folder: Path) -> dict[str, float]:
    """Peak MiB and CPU-seconds of the command in a process of its own."""
    command = [sys.executable, "-c", CHILD, "data", "prepare", "laion", "--json", str(source), "--output", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    peak, seconds = map(float, done.stdout.split("TAKEN ")[1].split())
    return {"peak_mib": round(peak, 1), "cpu_seconds": round(seconds, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Memory and time of `minigpt4 data prepare`.")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "prepare.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "list.json"
        write_list(source, ROWS)
        figures = {"rows": ROWS, "list_mib": round(source.stat().st_size / (1 << 20), 1),
                   **taken(source, Path(temporary) / "laion")}
    figures["rows_per_cpu_second"] = round(ROWS / figures["cpu_seconds"])
    write_json(arguments.output, {**figures, "bar_mib": BAR_MIB, "machine": machine(), "versions": versions()})
    print(figures)
    return 1 if figures["peak_mib"] > BAR_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
