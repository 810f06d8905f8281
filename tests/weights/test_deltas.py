"""apply-delta: bit for bit the sum in memory, resumable after kill -9, and every wrong pair refused by a sentence."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from minigpt4.common.errors import UserError
from minigpt4.weights.files.model_folder import write_model_folder
from minigpt4.weights.files.readers import open_weights, read_json
from minigpt4.weights.llama.deltas import apply_delta, make_delta
from tests.weights.llama_pairs import ROWS, difference, llama_tensors, tuned, write_folder

BASE = llama_tensors(1)
V11, V0 = tuned(BASE), tuned(BASE, extra_rows=1)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "llama", BASE, shards=2)


@pytest.mark.parametrize(("version", "model"), [("v0", V0), ("v1.1", V11)])
@pytest.mark.parametrize("shards", [1, 3], ids=["safetensors", "bin"])
def test_the_result_is_the_sum_in_memory(version: str, model: dict, shards: int, base: Path, tmp_path: Path) -> None:
    added = ("[PAD]",) if version == "v0" else ()
    delta = write_folder(tmp_path / "delta", difference(model, BASE), shards=shards, added=added)
    work = apply_delta(base, delta)
    assert any(f"Vicuna {version}" in line for line in work.report)
    write_model_folder(work, tmp_path / "vicuna", shard_bytes=20_000)
    made = open_weights(tmp_path / "vicuna")
    start = {name: torch.zeros_like(model[name]) for name in model}
    for name, tensor in BASE.items():
        start[name][: len(tensor)] = tensor
    for name, added_values in difference(model, BASE).items():
        assert torch.equal(made.load(name), start[name] + added_values), name
    config = read_json(tmp_path / "vicuna" / "config.json")
    assert config["vocab_size"] == len(model["lm_head.weight"]) and config["architectures"] == ["LlamaForCausalLM"]


KILLED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from minigpt4.weights.llama.deltas import apply_delta
from minigpt4.weights.files.model_folder import write_model_folder
base, delta, target, number = map(Path, sys.argv[1:])
told = 0
def on_bytes(count):
    global told
    told += 1
    if told == int(str(number)):
        os.kill(os.getpid(), signal.SIGKILL)
write_model_folder(apply_delta(base, delta), target, shard_bytes=4000, on_bytes=on_bytes)
"""


@pytest.mark.parametrize("moment", [1, 9, 18])
def test_after_kill_9_the_same_command_finishes(moment: int, base: Path, tmp_path: Path) -> None:
    delta = write_folder(tmp_path / "delta", difference(V11, BASE))
    target = tmp_path / "vicuna"
    command = [sys.executable, "-c", KILLED, str(base), str(delta), str(target), str(moment)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not target.exists(), "nothing stands under the final name"
    written = write_model_folder(apply_delta(base, delta), target, shard_bytes=4000)
    assert written.num_kept > 0 or moment == 1
    write_model_folder(apply_delta(base, delta), tmp_path / "straight", shard_bytes=4000)
    one, other = open_weights(target), open_weights(tmp_path / "straight")
    assert all(torch.equal(one.load(name), other.load(name)) for name in other.names)
    assert not target.with_name("vicuna.partial").exists()


def test_a_delta_of_ones_own(base: Path, tmp_path: Path) -> None:
    model = write_folder(tmp_path / "mine", V11)
    write_model_folder(make_delta(base, model), tmp_path / "delta")
    made = open_weights(tmp_path / "delta")
    assert all(torch.equal(made.load(name), tensor) for name, tensor in difference(V11, BASE).items())


def _narrow(tmp_path: Path) -> Path:
    other = llama_tensors(1, width=32)
    return write_folder(tmp_path / "delta13", difference(tuned(other), other))


def _renamed(tmp_path: Path) -> Path:
    tensors = difference(V11, BASE)
    tensors["model.layers.0.self_attn.query.weight"] = tensors.pop("model.layers.0.self_attn.q_proj.weight")
    return write_folder(tmp_path / "renamed", tensors)


def _of_another_base(tmp_path: Path) -> Path:
    other = llama_tensors(2)
    return write_folder(tmp_path / "foreign", difference(tuned(other), other))


def _whole(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "whole", V11)


def _truncated(tmp_path: Path) -> Path:
    folder = write_folder(tmp_path / "cut", difference(V11, BASE))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-500])
    return folder


def _missing_shard(tmp_path: Path) -> Path:
    folder = write_folder(tmp_path / "gap", difference(V11, BASE), shards=3)
    (folder / "pytorch_model-00002-of-00003.bin").unlink()
    return folder


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "13B delta": (_narrow, r"delta13: is a delta of .*; the base .*llama is of .*; take two folders of the same size"),
    "renamed tensor": (_renamed, r"renamed: .*q_proj.weight.* only in the base .*query.weight.* only in the delta"),
    "another base": (_of_another_base, r"foreign: \(the delta\) was not made from the base .*llama"),
    "a whole model": (_whole, r"whole: \(the delta\) is a whole model, not a delta"),
    "truncated": (_truncated, r"cut/model.safetensors.*(damaged|cut|ends|incomplete)"),
    "missing shard": (_missing_shard, r"pytorch_model-00002-of-00003.bin"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_pairs_are_refused_by_name(wrong: str, base: Path, tmp_path: Path) -> None:
    make, sentence = WRONG[wrong]
    with pytest.raises(UserError) as caught:
        apply_delta(base, make(tmp_path))
    assert re.search(sentence, str(caught.value)), caught.value


def test_u2_v0_on_a_vicuna_and_swapped_folders(base: Path, tmp_path: Path) -> None:
    delta = write_folder(tmp_path / "delta", difference(V0, BASE), added=("[PAD]",))
    merged = write_folder(tmp_path / "merged", V0, added=("[PAD]",))
    with pytest.raises(UserError, match=r"merged: \(the base\) is a Vicuna already: .*needs LLaMA; take the original"):
        apply_delta(merged, delta)
    with pytest.raises(UserError, match=rf"\(the base\) has {ROWS + 1} rows.*or the two are swapped"):
        apply_delta(delta, base)
    plain = write_folder(tmp_path / "plain_delta", difference(V11, BASE))
    with pytest.raises(UserError, match="swap --base and --delta"):
        apply_delta(plain, base)
    with pytest.raises(UserError, match="is given as base and as delta"):
        apply_delta(base, base)


def test_a_target_in_use_and_a_full_disk_are_told_first(base: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    work = apply_delta(base, write_folder(tmp_path / "delta", difference(V11, BASE)))
    with pytest.raises(UserError, match="llama: already exists and is not empty"):
        write_model_folder(work, base)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=0, used=0, free=1000))
    with pytest.raises(UserError, match="vicuna.*(space|free)"):
        write_model_folder(work, tmp_path / "vicuna")
    assert not (tmp_path / "vicuna").exists()
