"""The lines people and programs read."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from minigpt4.common.errors import UserError
from minigpt4.runners.config import RunConfig
from minigpt4.runners.logs import JsonLines, StepRecord, check_wandb, clock

RECORD = StepRecord(
    step=120, steps=1000, epoch=0, loss=2.4131, lr=2.94e-5, grad_norm=0.841, tokens_per_second=1840.2,
    samples_per_second=11.0, data_wait=0.02, memory_gib=5.12, seconds_left=192, unreadable=0, unsupervised=0,
    nonfinite=0,
)


def test_the_console_line() -> None:
    assert RECORD.line() == "step 120/1000 loss 2.413 lr 2.9e-05 grad 0.84 1 840 tok/s 5.1 GiB 03:12 left"


def test_the_line_says_when_steps_wait_for_data() -> None:
    assert replace(RECORD, data_wait=0.346).line().endswith("03:12 left 35 % waiting for data")


def test_hours_show() -> None:
    assert clock(3_792) == "1:03:12"


def test_a_resumed_log_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "step", "step": 1}\n{"kind": "step", "step": 2}\n{"kind": "st')
    log = JsonLines(path, start=1)
    log.write("step", 2, {"loss": float("nan")})
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"kind": "step", "step": 1}, {"kind": "step", "step": 2, "loss": "nan"}]


def test_wandb_without_the_package_names_both_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name, *more: None if name == "wandb" else found(name, *more))
    with pytest.raises(UserError, match=r"pip install 'minigpt4\[wandb\]', or set run.wandb_log=False"):
        check_wandb(RunConfig(wandb_log=True))
    check_wandb(RunConfig(wandb_log=False))
