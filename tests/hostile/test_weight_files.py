"""Single files of weights and states of runs with changed bytes: read, or refused in a sentence; no pickle acts."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from minigpt4.runners.checkpoint import read_state
from minigpt4.weights.files.readers import open_weights
from tests.hostile.attempt import assert_all_good, attempt
from tests.hostile.mutations import VALUES, change_bytes, write_acting_pickles

STATE = {
    "step": 4, "position": 8, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
    "scaler": {}, "ledgers": [{"seen": 1, "bad": 0, "in_a_row": 0}],
    "counts": {"unreadable": 0, "unsupervised": 0, "nonfinite": 0}, "settings": {"a": "b"}, "data": {},
}


def read_all(path: Path) -> None:
    file = open_weights(path)
    for name in file.names:
        file.load(name)


def write_whole(folder: Path) -> list[Path]:
    tensors = {f"layer.{number}.weight": torch.randn(7, number + 1) for number in range(12)}
    save_file(tensors, folder / "a.safetensors")
    torch.save({"model": tensors, "epoch": 3}, folder / "b.pth")
    torch.save(tensors, folder / "c.bin", _use_new_zipfile_serialization=False)
    (folder / "checkpoint_00000004").mkdir()
    torch.save(STATE, folder / "checkpoint_00000004" / "state.pt")
    return [folder / "a.safetensors", folder / "b.pth", folder / "c.bin", folder / "checkpoint_00000004" / "state.pt"]


@pytest.mark.parametrize(("number", "seed"), [(60, 1), pytest.param(700, 2, marks=pytest.mark.slow)])
def test_changed_files(tmp_path: Path, number: int, seed: int) -> None:
    whole = write_whole(tmp_path)
    endings = []
    for index in range(number):
        chance, source = random.Random(f"{seed}/{index}"), whole[index % len(whole)]
        sign = tmp_path / f"sign{index}"
        path = tmp_path / "changed" / source.relative_to(tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        is_state = path.name == "state.pt"
        if is_state and chance.random() < 0.4:
            torch.save({**STATE, chance.choice(sorted(STATE)): chance.choice(VALUES)}, path)
            words = "a value of the state"
        elif chance.random() < 0.15:
            words = write_acting_pickles(path, sign, chance)
        else:
            words = change_bytes(path, chance)
        deed = (lambda path=path: read_state(path.parent)) if is_state else (lambda path=path: read_all(path))
        endings.append((f"{index} {path.name} {words}", attempt(deed)))
        assert not sign.exists(), f"{words} ran code"
    assert_all_good(endings)
    assert sum(ending.kind == "refused" for _, ending in endings) > number / 3
