"""Runs killed at random moments, inside saves and inside resumes: bit-equal after the resume, and no litter is left."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from minigpt4.runners.run_folder import RunFolder
from minigpt4.weights.bundles.seal import compare_checksums
from tests.parity import minigpt4_folder
from tests.runners.forked import run_forked
from tests.tasks.tiny_runs import write_tiny_run

STEPS = 12
KILLED_MID_SAVE = """
import os, signal, sys, random
from minigpt4.common import files
chance = random.Random(int(sys.argv.pop(1)))
left = chance.randrange(1, 16)
def counted(path, old=files._flush_to_disk):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return old(path)
files._flush_to_disk = counted
from minigpt4.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""dies at one of the files that saves write"""


def train(folder: Path, *, ranks: int, resume: bool, wait: float | None = None, dies: int | None = None) -> bool:
    """Run `train` in a process group of its own; kill all of it after `wait` seconds. Whether it ended by itself."""
    words = ["train", "--cfg-path", "run.yaml", *(["--resume"] if resume else [])]
    program = ["-m", "minigpt4"] if dies is None else [str(folder / "dies.py"), str(dies)]
    if dies is not None:
        (folder / "dies.py").write_text(KILLED_MID_SAVE, encoding="utf-8")
    if ranks > 1:
        program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), *program]
    log = open(folder / "said.txt", "ab")
    process = subprocess.Popen([sys.executable, *program, *words], cwd=folder, start_new_session=True, stdout=log,
                               stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        return process.wait(timeout=wait if wait is not None else 240) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        _kill(process)
        log.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all below it, at once: torchrun gives its workers sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


def write_run(folder: Path, ranks: int) -> None:
    folder.mkdir(parents=True)
    run = {"max_epoch": 4, "iters_per_epoch": 3, "save_every": 1, "keep_checkpoints": 2, "valid_splits": [],
           "output_dir": "out"}
    write_tiny_run(folder, run=run)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(RunFolder(folder / "out").checkpoint(STEPS) / "model.safetensors")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """An undisturbed run on one and on two processes, and how long it took."""
    made = {}
    for ranks in (1, 2):
        made[ranks] = tmp_path_factory.mktemp("straight") / str(ranks)
        write_run(made[ranks], ranks)
        assert train(made[ranks], ranks=ranks, resume=False), (made[ranks] / "said.txt").read_text()
    return made


def check(folder: Path, wanted: Path) -> None:
    found, expected = weights(folder), weights(wanted)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    out = folder / "out"
    assert not [path.name for path in out.rglob(".*") if path.suffix in (".part", ".old")]
    assert not (out / "run.lock").exists()
    for checkpoint in RunFolder(out).checkpoints():
        assert compare_checksums(checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(30))
def test_a_killed_run_goes_on(straight: dict[int, Path], tmp_path: Path, number: int) -> None:
    """Every third run on two processes; every second killed inside a save; every fifth killed in its resume too."""
    chance = random.Random(number)
    ranks = 2 if number % 3 == 0 else 1
    folder = tmp_path / "run"
    write_run(folder, ranks)
    start = 4.0 if ranks == 1 else 7.0
    dies = chance.randrange(1000) if number % 2 and ranks == 1 else None
    train(folder, ranks=ranks, resume=False, wait=None if dies is not None else start + chance.random() * 6, dies=dies)
    if number % 5 == 0:
        train(folder, ranks=ranks, resume=True, wait=start + chance.random() * 4)
    deadline = time.monotonic() + 240
    while not train(folder, ranks=ranks, resume=(folder / "out").exists()):
        assert time.monotonic() < deadline, (folder / "said.txt").read_text()[-3000:]
        if not RunFolder(folder / "out").checkpoints() and number % 7 == 0:
            shutil.rmtree(folder / "out", ignore_errors=True)
    check(folder, straight[ranks])


SHORT = {"max_epoch": 1, "iters_per_epoch": 120, "max_unreadable": 1.0, "save_every": 2, "valid_splits": []}
STAGE_1 = {"run": SHORT, "sets": {"laion": {"batch_size": 2, "sample_ratio": 115},
                                  "cc_sbu": {"batch_size": 2, "sample_ratio": 14}}}
BY_TOKENS = {"run": {**SHORT, "max_tokens": 110},
             "sets": {"laion": {"sample_ratio": 115}, "cc_sbu": {"sample_ratio": 14}}}
KILLED_OFTEN = {"stage 1": STAGE_1, "stage 1 by tokens": BY_TOKENS}
"""runs whose every resume must be bit-equal: further ones (other batches, other data) are a line each"""


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED_OFTEN)
def test_every_resume_of_twenty_kills_on_two_ranks_is_bit_equal(tmp_path: Path, name: str) -> None:
    """Weights, optimizer, position and counts of the newest checkpoint after each kill: as of the undisturbed run."""
    config = KILLED_OFTEN[name]
    data = minigpt4_folder.folder() / "data"
    sets = {each: {**keys, "build_info": {"storage": str(data / each / "{00000..00001}.tar")}}
            for each, keys in config["sets"].items()}
    write_tiny_run(tmp_path, run=config["run"], datasets=sets)
    words = ["train", "--cfg-path", "run.yaml", "--options"]
    run_forked((2, [*words, "run.output_dir=straight", "run.keep_checkpoints=999"]), cwd=tmp_path)
    order = {"ranks": 2, "kills": 20, "words": [*words, "run.output_dir=killed"], "folder": "killed",
             "straight": "straight"}
    ended = subprocess.run([sys.executable, "-m", "tests.runners.killed", json.dumps(order)], cwd=tmp_path, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    (tmp_path / "said.txt").write_text(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert "120 steps, every resume bit-equal" in ended.stdout and ended.stdout.count("steps kept") == 20
