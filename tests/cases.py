"""Run what users tried: every `cmd.sh` of a folder of cases in a copy of its own; exit status and last line of each.

    CASES=FOLDER python -m tests.cases [NAME …] [--all]

A case is a folder with README.md (what was tried, what is right) and cmd.sh, which finds `minigpt4` on PATH and, in
BUNDLE, a trained bundle. A person holds the lines against the READMEs; `--all` prints all that was said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests import tiny
from tests.conftest import CASES, PROJECT

SECONDS = 300


@dataclass(frozen=True)
class Ended:
    """What a case did: its exit status, and all that it printed."""

    name: str
    status: int
    said: str

    @property
    def last_line(self) -> str:
        return next((line for line in reversed(self.said.splitlines()) if line.strip()), "")


def prepare(work: Path) -> dict[str, str]:
    """A bundle and a `minigpt4` in a working folder; the environment that names them."""
    from minigpt4.weights.bundles.seal import atomic_bundle

    loaded = tiny.model()
    with atomic_bundle(work / "bundle") as folder:
        loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="stage 2", step=1)
    (work / "bin").mkdir()
    program = work / "bin" / "minigpt4"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m minigpt4 "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = os.pathsep.join([str(work / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "BUNDLE": str(work / "bundle"), "PYTHONPATH": str(PROJECT)}


def run_case(case: Path, work: Path, environment: dict[str, str]) -> Ended:
    """Run one `cmd.sh` in a writable copy of its folder."""
    copy = work / case.name
    shutil.copytree(case, copy)
    subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True)
    try:
        ended = subprocess.run(["bash", "cmd.sh"], cwd=copy, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        return Ended(case.name, 124, (error.stdout or b"").decode(errors="replace"))
    return Ended(case.name, ended.returncode, ended.stdout.decode(errors="replace"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these cases")
    parser.add_argument("--all", action="store_true", help="print everything that was said")
    arguments = parser.parse_args()
    cases = [path.parent for path in sorted(CASES.glob("*/cmd.sh"))
             if not arguments.names or path.parent.name in arguments.names]
    with tempfile.TemporaryDirectory(prefix="minigpt4_cases_") as folder:
        environment = prepare(Path(folder))
        for case in cases:
            ended = run_case(case, Path(folder), environment)
            print(f"{ended.name}: exit {ended.status}: {ended.said if arguments.all else ended.last_line}", flush=True)
    return 0 if cases else 2


if __name__ == "__main__":
    sys.exit(main())
