"""The commands of READMEs, tutorial and the page for users of the original run as printed, in a fresh clone, in their
order, after the stages of `make demo`; nothing is invented and nothing made smaller.

`git clone` of this checkout stands for the printed address, the environment of the tests for `.venv`. Only what the
page says needs the network is not run, but `weights download`, which lists what to bring. What every command printed is
written to the folder `printed` of the fixtures. About a quarter of an hour a language on two cores.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import pytest

from tests.page_commands import OWN_DATA, PAGES, Command, commands_of

PATIENCE = 1800
"""seconds that any command may take"""
SERVERS = ("make demo", "python demo.py")
SHIMS = {"python": "", "minigpt4": "-m minigpt4", "torchrun": "-m torch.distributed.run"}
"""programs of an environment, as the interpreter of the tests runs them"""
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True)
class Ran:
    """A command and what came of it; `wanted` is the exit status that the page promises."""

    command: Command
    status: int
    output: str
    seconds: float
    wanted: int = 0

    def __str__(self) -> str:
        lines = [line.rpartition("\r")[2] for line in self.output.splitlines()]  # of a bar what stood there last
        head = f"$ {self.command.text.strip()}" if self.command.language == "bash" else f">>> {self.command.text}"
        return "\n".join([head, *lines, f"[status {self.status}, {self.seconds:.1f} s]", ""])


@dataclass(frozen=True)
class Clone:
    """A clone with an environment in which its commands run."""

    folder: Path
    environment: Path

    def variables(self) -> dict[str, str]:
        path = f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "PATH": path, "PYTHONPATH": str(self.folder), "VENV": str(self.environment),
                "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}

    def start(self, command: Command) -> subprocess.Popen[str]:
        program = ["bash", "-c"] if command.language == "bash" else [sys.executable, "-c"]
        return subprocess.Popen([*program, command.text], cwd=self.folder, env=self.variables(), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                start_new_session=True, errors="replace")


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A fresh clone after both stages."""
    place = tmp_path_factory.mktemp("first_hour")
    clone = Clone(place / "minigpt4", make_environment(place / "venv"))
    subprocess.run(["git", "clone", "--quiet", str(project), str(clone.folder)], check=True)
    (clone.environment / ".ready").touch()  # younger than the lists of packages: nothing is installed
    ran = run(clone, Command("make stages"))
    assert ran.status == 0, ran.output
    return clone


def make_environment(folder: Path) -> Path:
    """What `make setup` leaves, without installing."""
    (folder / "bin").mkdir(parents=True)
    for name, module in SHIMS.items():
        shim = folder / "bin" / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        shim.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_runs_as_printed(language: str, trained: Clone, project: Path, printed: Path,
                                       tmp_path: Path) -> None:
    clone = Clone(tmp_path / "minigpt4", trained.environment)
    shutil.copytree(trained.folder, clone.folder)
    pages = [page for page in (*PAGES, OWN_DATA) if page.endswith("_zh.md") == (language == "zh")]
    every = [ran for page in pages for ran in run_page(clone, project / page)]
    printed.mkdir(parents=True, exist_ok=True)
    (printed / f"commands_{language}.txt").write_text("\n".join(map(str, every)), encoding="utf-8")
    wrong = [ran for ran in every if ran.status != ran.wanted]
    assert len(every) >= 35 and not wrong, "\n".join(map(str, wrong))


def run_page(clone: Clone, page: Path) -> list[Ran]:
    """All commands of a page but those that only a network makes possible."""
    done: list[Ran] = []
    for command in commands_of(page):
        if command.text.startswith("cd "):  # into the clone, where we are
            continue
        if command.needs("network") or command.needs("gpu"):
            if command.text.startswith("minigpt4 weights download"):
                done.append(run(clone, Command(f"{command.text} --offline"), wanted=2))
            continue
        done.append(ask(clone, command) if command.text.startswith(SERVERS) else run(clone, command))
    return done


def run(clone: Clone, command: Command, wanted: int = 0) -> Ran:
    """The command to its end, or to the end of our patience."""
    began = time.monotonic()
    process = clone.start(command)
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output = f"{process.communicate()[0]}\n(took more than {PATIENCE} s)"
    return Ran(command, process.returncode, output, time.monotonic() - began, wanted)


def ask(clone: Clone, command: Command) -> Ran:
    """A server: started, asked for its page, stopped. Status 0: it answered."""
    began = time.monotonic()
    process = clone.start(command)
    assert process.stdout is not None
    lines: list[str] = []
    status = 1
    impatient = Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    impatient.start()
    for line in process.stdout:  # ends with the process
        lines.append(line)
        if address := ADDRESS.search(line):
            with urllib.request.urlopen(address[0], timeout=60) as answer:
                lines.append(f"GET {address[0]}: {answer.status}, {len(answer.read())} bytes\n")
                status = 0 if answer.status == 200 else 1
            break
    impatient.cancel()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        lines.append(process.communicate(timeout=60)[0])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        status = 1
    return Ran(command, status, "".join(lines), time.monotonic() - began)
