"""Where a run computes and in which numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from minigpt4.common.devices import choose_device
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.runners.config import RunConfig
from minigpt4.runners.precision import choose_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(("run", "device", "name"), [
    ({}, CPU, "fp32"), ({"amp": False}, CPU, "fp32"), ({"precision": "bf16"}, CPU, "bf16"),
    ({"amp": True, "precision": "bf16"}, CPU, "bf16"), ({"amp": True}, CUDA, "fp16"), ({"amp": False}, CUDA, "fp32"),
])
def test_what_the_keys_mean(run: dict[str, Any], device: torch.device, name: str) -> None:
    assert choose_precision(RunConfig(**run), device).name == name


@pytest.mark.parametrize(("run", "key"), [({"amp": True}, "run.amp: True"), ({"precision": "fp16"}, "run.precision")])
def test_fp16_on_cpu_names_the_cure(run: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"{key}.* does not train on cpu; use run.precision: bf16"):
        choose_precision(RunConfig(**run), CPU)


def test_only_fp16_scales_the_loss() -> None:
    assert not choose_precision(RunConfig(precision="bf16"), CPU).scaler().is_enabled()


def test_bf16_autocasts() -> None:
    with choose_precision(RunConfig(precision="bf16"), CPU).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(("wanted", "words"), [("tpu", "use auto, cpu"), ("cuda", "sees no such device")])
def test_a_device_that_is_not_there(wanted: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=words):
        choose_device(wanted, Place())


def test_each_rank_takes_its_own_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cuda", Place(rank=5, world_size=8, local_rank=1)) == torch.device("cuda", 1)
