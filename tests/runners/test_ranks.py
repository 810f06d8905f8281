"""Two gloo processes do what one does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minigpt4.common.process_group import ProcessGroup
from minigpt4.runners.checkpoint import read_state
from minigpt4.runners.curve import read_log
from minigpt4.runners.precision import Precision
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.window import WindowGradient
from tests.runners.fakes import FakeModel, FakeTask, make_batch
from tests.runners.processes import PROJECT, WORKER, run_workers

FP32 = Precision("fp32", "cpu")
CPU = torch.device("cpu")


def test_two_ranks_give_the_gradients_of_one(tmp_path: Path) -> None:
    """Micro-batch 1 has no row on rank 1, micro-batch 2 no image there; token counts differ everywhere."""
    ended = run_workers({"folder": str(tmp_path / "g"), "gradients": 3, "holes": {"1": 1}, "textual": [2]}, ranks=2)
    assert [process.code for process in ended] == [0, 0], ended
    model = FakeModel()
    window = [make_batch(range(4)), make_batch([4, 5]), make_batch([8, 9]), make_batch([10, 11], images=False)]
    WindowGradient(model, FakeTask(ProcessGroup()), ProcessGroup(), FP32, CPU)(window, FP32.scaler())
    for rank in range(2):
        gradients = torch.load(tmp_path / f"g_{rank}.pt", weights_only=True)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            scale = float(parameter.grad.abs().max())
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.slow
def test_a_run_of_two_ranks_learns_what_one_learns(tmp_path: Path) -> None:
    run = {"run": {"valid_splits": ["val"], "clip_grad_norm": 0.5}}
    for ranks in (1, 2):
        ended = run_workers({"folder": str(tmp_path / str(ranks)), **run}, ranks=ranks)
        assert all(process.code == 0 for process in ended), ended
    one, two = (torch.load(tmp_path / name / "checkpoint_00000012" / "state.pt", weights_only=True) for name in "12")
    assert len(two["ledgers"]) == 2
    for index, state in one["optimizer"]["state"].items():
        torch.testing.assert_close(two["optimizer"]["state"][index]["exp_avg"], state["exp_avg"], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_one_run_on_two_then_one_then_three_ranks(tmp_path: Path) -> None:
    """Steps are those of two ranks throughout: the same samples, so the losses and weights of an undisturbed run."""
    straight, moving = tmp_path / "straight", tmp_path / "moving"
    run = {"epoch": 6, "run": {"save_every": 4, "keep_checkpoints": 9, "log_freq": 1, "batch_size_train": 3}, "rows": 6}
    ended = run_workers({"folder": str(straight), **run}, ranks=2)
    assert all(process.code == 0 for process in ended), ended
    for ranks, stops_after in ((2, 4), (1, 8), (3, 12)):
        ended = run_workers({"folder": str(moving), "resume": True, **run}, ranks=ranks)
        assert all(process.code == 0 for process in ended), ended
        for later in RunFolder(moving).checkpoints():
            if later > RunFolder(moving).checkpoint(stops_after):
                shutil.rmtree(later)
        assert read_state(RunFolder(moving).checkpoint(stops_after)).begun_on == 2
    one, other = (read_log(folder / "log.jsonl")["step"] for folder in (straight, moving))
    assert [entry["loss"] for entry in other] == pytest.approx([entry["loss"] for entry in one], rel=1e-6)
    weights = [load_file(RunFolder(folder).checkpoint(12) / "model.safetensors") for folder in (straight, moving)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_torchrun_starts_the_ranks_again_and_they_go_on(tmp_path: Path) -> None:
    """Rank 1 is killed in the middle; `--max-restarts` starts both again, and the run ends as if nothing had been."""
    order = {"run": {"save_every": 2, "keep_checkpoints": 9}, "timeout": 30, "resume": True}
    ended = run_workers({**order, "folder": str(tmp_path / "straight")}, ranks=2)
    assert all(process.code == 0 for process in ended), ended
    dying = {**order, "folder": str(tmp_path / "dying"), "dies_at": 5, "dying_rank": 1}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               "--max-restarts", "1", str(WORKER), json.dumps(dying)]
    again = subprocess.run(command, capture_output=True, text=True, timeout=240,
                           env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"})
    assert again.returncode == 0, again.stderr[-3000:]
    one, two = (load_file(RunFolder(tmp_path / name).checkpoint(12) / "model.safetensors")
                for name in ("straight", "dying"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [entry["step"] for entry in read_log(tmp_path / "dying" / "log.jsonl")["step"]] == list(range(1, 13))
