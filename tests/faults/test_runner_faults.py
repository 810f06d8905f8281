"""What goes wrong in a long run: kills, full disks, dead ranks, numbers that are none. Each has one clear sentence."""

from __future__ import annotations

import errno
import gc
import math
import os
import random
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup
from minigpt4.records.batches import Batch, Output
from minigpt4.runners.curve import read_log
from minigpt4.runners.guards import check_first_loss
from minigpt4.runners.job import Job
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.runner_base import RunnerBase
from tests.runners.fakes import VOCABULARY, FakeBundle, FakeModel, FakeTask, make_job
from tests.runners.processes import run_workers

LONG = {"save_every": 2, "accum_grad_iters": 2, "valid_splits": ["val"], "keep_checkpoints": 3}
CONSTANT = {"lr_sched": "linear_warmup_step_lr", "lr_decay_rate": 1.0}
"""a rate that does not depend on the length of the run, so that one epoch is the first of two"""


def _final(folder: Path) -> dict[str, torch.Tensor]:
    newest = RunFolder(folder).newest()
    assert newest is not None
    return load_file(newest / "model.safetensors")


def _assert_bit_equal(one: Path, other: Path) -> None:
    ours, theirs = _final(one), _final(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def _run(job: Job, *, resume: bool = False) -> None:
    RunnerBase(job, resume=resume).run()


def test_kill_9_at_any_step_then_resume_is_bit_equal(tmp_path: Path) -> None:
    position = random.SystemRandom().randrange(1, 24)
    order = {"dropout": 0.3, "epoch": 12, "run": LONG}
    killed = run_workers({**order, "folder": str(tmp_path / "killed"), "dies_at": position})[0]
    assert killed.code == -signal.SIGKILL, f"at position {position}: {killed}"
    resumed = run_workers({**order, "folder": str(tmp_path / "killed"), "resume": True})[0]
    assert resumed.code == 0, f"at position {position}: {resumed}"
    _run(make_job(tmp_path / "straight", dropout=0.3, task={"epoch": 12}, **LONG))
    _assert_bit_equal(tmp_path / "killed", tmp_path / "straight")


def test_a_dead_rank_ends_the_run_with_its_name(tmp_path: Path) -> None:
    ended = run_workers({"folder": str(tmp_path / "run"), "dies_at": 5, "dying_rank": 1, "timeout": 20}, ranks=2)
    assert ended[1].code == -signal.SIGKILL
    assert ended[0].code != 0
    assert "of 2 ranks these do not answer: rank 1;" in ended[0].errors
    assert "--resume" in ended[0].errors


class _Signalling(FakeTask):
    """Sends this process a signal in the middle of a step."""

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        for batch in super().training_batches(position, begun_on):
            position += 1
            if position == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


def test_sigterm_finishes_the_step_saves_and_says_how_to_go_on(tmp_path: Path,
                                                               caplog: pytest.LogCaptureFixture) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with caplog.at_level("INFO"):
        _run(make_job(tmp_path / "run", dropout=0.3, job={"task": _Signalling(ProcessGroup())}))
    assert "stopped after step 4" in caplog.text and "--resume" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is before
    _run(make_job(tmp_path / "run", dropout=0.3), resume=True)
    _run(make_job(tmp_path / "straight", dropout=0.3))
    _assert_bit_equal(tmp_path / "run", tmp_path / "straight")


# --- full disks ---


class _LargeBundle(FakeBundle):
    """Half a megabyte of weights beside the model's own."""

    def save(self, folder: Path, step: int) -> None:
        super().save(folder, step)
        (folder / "large.bin").write_bytes(b"\0" * (1 << 19))


def _limited_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_write_that_fails_leaves_the_earlier_checkpoint_and_the_run_goes_on_later(tmp_path: Path) -> None:
    """The system itself refuses to write more, by a limit on the size of files."""
    _run(make_job(tmp_path / "run", max_epoch=1, **CONSTANT))
    _run(make_job(tmp_path / "straight", **CONSTANT))
    job = make_job(tmp_path / "run", **CONSTANT)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    _limited_files(1 << 18)
    try:
        with pytest.raises(UserError, match="checkpoint_00000012: cannot be written .*free space"):
            _run(replace(job, bundle=_LargeBundle(job.model)), resume=True)
    finally:
        _limited_files(unlimited)
    assert [folder.name for folder in RunFolder(tmp_path / "run").checkpoints()] == ["checkpoint_00000006"]
    assert not list((tmp_path / "run").glob(".checkpoint*")), "half a checkpoint was left behind"
    _run(make_job(tmp_path / "run", **CONSTANT), resume=True)
    _assert_bit_equal(tmp_path / "run", tmp_path / "straight")


@pytest.mark.parametrize("failure", [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/3"),
])
def test_a_full_disk_is_a_sentence_however_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      failure: Exception) -> None:
    def full(*arguments: Any, **keywords: Any) -> None:
        raise failure

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="cannot be written .*free space"):
        _run(make_job(tmp_path / "run"))
    assert RunFolder(tmp_path / "run").checkpoints() == []


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    _run(make_job(tmp_path / "run"))
    state = tmp_path / "run" / "checkpoint_00000012" / "state.pt"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(UserError, match="state.pt was changed.*--resume-from 6"):
        _run(make_job(tmp_path / "run"), resume=True)


# --- numbers that are none ---


def test_u22_a_loss_that_is_not_finite_skips_the_step_and_keeps_what_made_it(tmp_path: Path,
                                                                            caplog: pytest.LogCaptureFixture) -> None:
    job = make_job(tmp_path / "run", task={"poisoned": frozenset({2})})
    _run(job)
    assert all(torch.isfinite(value).all() for value in job.model.state_dict().values())
    assert "first in vision, float32" in caplog.text
    kept = torch.load(tmp_path / "run" / "nonfinite" / "step_3.pt", weights_only=True)
    assert kept["batches"][0]["sample_ids"] == ["sample 8", "sample 9", "sample 10", "sample 11"]
    steps = read_log(tmp_path / "run" / "log.jsonl")["step"]
    assert steps[2]["loss"] == "nan" and steps[2]["nonfinite"] == 1 and steps[-1]["nonfinite"] == 1


def test_too_many_of_them_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 steps had a loss .*run.max_nonfinite is 3.*first in vision"):
        _run(make_job(tmp_path / "run", task={"poisoned": frozenset(range(1, 6))}))


@pytest.mark.parametrize("accumulated", [1, 3])
def test_a_skipped_step_leaves_no_trace_in_the_gradient(tmp_path: Path, accumulated: int) -> None:
    job = make_job(tmp_path / "run", max_epoch=1, accum_grad_iters=accumulated, task={"poisoned": frozenset({5})})
    _run(job)
    assert all(parameter.grad is None for parameter in job.model.parameters())


def test_u4_blank_weights_are_recognised_by_their_first_loss(tmp_path: Path) -> None:
    """Ln V means that every token has the same chance."""
    job = make_job(tmp_path / "run", job={"vocab_size_to_beat": VOCABULARY})
    with torch.no_grad():
        job.model.get_parameter("head.weight").zero_()
        job.model.get_parameter("head.bias").zero_()
    with pytest.raises(UserError, match=rf"first loss is {math.log(VOCABULARY):.4f} = ln {VOCABULARY}"):
        _run(job)


def test_a_model_that_knows_something_passes_the_guard(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", max_epoch=1, job={"vocab_size_to_beat": 10**6})
    _run(job)
    assert list((tmp_path / "run").glob("checkpoint_*"))


@pytest.mark.parametrize(("beside", "refused"), [(0.0, True), (1e-5, True), (0.005, False), (-0.015, False)])
def test_u4_a_small_random_model_is_not_taken_for_a_blank_one(beside: float, refused: bool) -> None:
    loss = math.log(VOCABULARY) + beside
    if not refused:
        check_first_loss(loss, VOCABULARY)
        return
    with pytest.raises(UserError, match="the same chance"):
        check_first_loss(loss, VOCABULARY)


# --- memory ---


class _HungryModel(FakeModel):
    def forward(self, batch: Batch) -> Output:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_u11_out_of_memory_gives_numbers_and_three_remedies(tmp_path: Path) -> None:
    """Out of memory ends in a sentence with numbers and remedies."""
    with pytest.raises(UserError) as caught:
        _run(make_job(tmp_path / "run", job={"model": _HungryModel()}))
    for words in ("4 rows x 6 positions with 4 images", "1. halve", "2. use run.precision", "3. freeze"):
        assert words in str(caught.value)


class _CountingTask(FakeTask):
    """Counts the tensors that are alive whenever a batch is asked for."""

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        self.alive: list[int] = []
        for batch in super().training_batches(position, begun_on):
            if position % 20 == 0:
                gc.collect()
                self.alive.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))
            position += 1
            yield batch


def test_u11_memory_does_not_grow_over_steps(tmp_path: Path) -> None:
    """Steady for ten epochs, then out of memory."""
    task = _CountingTask(ProcessGroup(), epoch=120)
    often = {"save_every": 10, "valid_every": 10, "valid_splits": ["val"]}
    _run(make_job(tmp_path / "run", max_epoch=1, job={"task": task}, **often))
    assert task.alive[1] == task.alive[-1], task.alive
