"""What sharded weights do not go with, and the optimizer's state in both of its forms, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from minigpt4.common.config import load_config
from minigpt4.common.errors import UserError
from minigpt4.runners.parallel.choose import check_parallel
from minigpt4.runners.parallel.optimizer_state import in_order_of, restored, write_shards
from tests.tasks.tiny_runs import write_tiny_run


@pytest.mark.parametrize(("options", "device", "words"), [
    (["model.llm.quantize=nf4"], "cpu", "model.llm.quantize is nf4: quantised weights are not sharded"),
    (["model.llm.device_map=auto"], "cpu", "model.llm.device_map is auto, which places layers whole"),
    (["run.optimizer=muon"], "cpu", "run.optimizer is muon, which needs whole matrices"),
    (["run.device=auto", "run.precision=fp16"], "cuda", "the precision is fp16"),
    ([], "mps", "the device is mps, over which nothing is sharded"),
])
def test_what_fsdp_does_not_go_with_is_told(tmp_path: Path, options: list[str], device: str, words: str) -> None:
    config = load_config(str(write_tiny_run(tmp_path)), options)
    check_parallel(config, torch.device(device))
    config = load_config(str(write_tiny_run(tmp_path)), [*options, "run.parallel=fsdp"])
    with pytest.raises(UserError, match=f"run.parallel: is fsdp, but {words}"):
        check_parallel(config, torch.device(device))


def _trained() -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
    """A layer after two steps of AdamW, decayed weight first."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW([{"params": [layer.weight]}, {"params": [layer.bias], "weight_decay": 0.0}])
    for _ in range(2):
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    return in_order_of(optimizer, dict(layer.named_parameters())), optimizer


def _values(state: dict[str, Any]) -> dict[str, Any]:
    return {f"{number} {key}": value for number, values in state["state"].items() for key, value in values.items()}


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("sharded", [True, False], ids=["in files", "in state.pt"])
def test_an_optimizer_comes_back_from_both_forms(tmp_path: Path, sharded: bool) -> None:
    parameters, optimizer = _trained()
    whole = optimizer.state_dict()
    saved = write_shards(tmp_path, whole, list(parameters)) if sharded else whole
    assert ("exp_avg" in saved["state"][0]) is not sharded
    back = restored(tmp_path, saved, parameters)
    assert back["param_groups"] == whole["param_groups"]
    assert _values(back).keys() == _values(whole).keys()
    assert all(torch.equal(_values(back)[name], value) for name, value in _values(whole).items())


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_files_of_another_optimizer_are_refused(tmp_path: Path) -> None:
    parameters, optimizer = _trained()
    saved = write_shards(tmp_path, optimizer.state_dict(), list(parameters))
    with pytest.raises(UserError, match=r"holds 'weight/exp_avg\w*' of \[2, 3\], which belongs to no parameter"):
        restored(tmp_path, saved, {"weight": nn.Parameter(torch.zeros(2, 4)), "bias": parameters["bias"]})
    more = {**parameters, "head": nn.Parameter(torch.zeros(1))}
    with pytest.raises(UserError, match="holds nothing of head"):
        restored(tmp_path, {"state": {0: {}, 1: {}, 2: {}}, "param_groups": []}, more)
