"""FSDP2 on gloo processes: what one process does, with a part of the weights on each; fp32, tolerances beside each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from minigpt4.runners.run_folder import RunFolder
from minigpt4.weights.bundles.seal import compare_checksums
from tests.parity import minigpt4_folder
from tests.runners.forked import run_forked
from tests.tasks.tiny_runs import write_tiny_run

RUN = {"valid_splits": [], "max_epoch": 1, "iters_per_epoch": 4, "save_every": 2, "keep_checkpoints": 9,
       "clip_grad_norm": 1.0, "log_freq": 1, "shard_bytes": 100_000}
WHOLE = ["model.llm.freeze=False", "model.llm.activation_checkpointing=True"]
LORA = ["model.llm.lora.r=4", "model.llm.lora.dropout=0"]
KINDS = {"projection": [], "whole": WHOLE, "lora": LORA}
TOKENIZER = f"model.llm.tokenizer={minigpt4_folder.folder() / 'parts' / 'llm'}"
TIED = ("model.llm.random={model_type: llama, hidden_size: 48, intermediate_size: 64, num_hidden_layers: 3, "
        "num_attention_heads: 4, tie_word_embeddings: true, max_position_embeddings: 512}")
TWICE = "datasets.cc_sbu_align.batch_size=6"
"""one process sees in a micro-batch what two see together"""


def close(one: Tensor, other: Tensor, tolerance: float) -> None:
    """fp32; relative to the tensor's largest value."""
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


def relative(one: Tensor, other: Tensor) -> float:
    """Length of the difference in units of the other's length."""
    return float((one - other).norm() / other.norm().clamp(min=1e-30))


def first_steps(folder: Path, *runs: tuple[int, str, list[str]]) -> list[dict[str, Any]]:
    """What `write_first_step` writes for each (ranks, strategy, options)."""
    write_tiny_run(folder, run={**RUN, "accum_grad_iters": 2})
    files = [folder / f"{number}.pt" for number in range(len(runs))]
    run_forked(*((ranks, ["gradients", str(file), f"run.parallel={strategy}", *options])
                 for file, (ranks, strategy, options) in zip(files, runs, strict=True)), cwd=folder)
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("kind", ["projection", pytest.param("whole", marks=pytest.mark.slow),
                                  pytest.param("lora", marks=pytest.mark.slow)])
def test_two_ranks_give_loss_and_gradients_of_one(tmp_path: Path, kind: str) -> None:
    """1e-6 of loss and gradient; each rank keeps half of the language model, up to rows that do not divide."""
    one, two = first_steps(tmp_path, (1, "ddp", [TWICE, *KINDS[kind]]), (2, "fsdp", KINDS[kind]))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert two["gradients"].keys() == one["gradients"].keys() and one["gradients"]
    for name, gradient in one["gradients"].items():
        assert relative(two["gradients"][name], gradient) < 1e-6, name
    assert len(two["held"]) == 2 and max(two["held"]) < 0.51 * one["held"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "of_two"), [
    (WHOLE, ["run.fsdp.offload=True", "run.fsdp.reshard_after_forward=False"]),
    ([*LORA, "model.llm.dtype=bf16"], []),
    (["model.llm.weights=null", "model.ckpt=null", "model.llm.freeze=False", TOKENIZER, TIED], []),
], ids=["in host memory", "adapters on bf16", "tied and random"])
def test_options_change_no_gradient(tmp_path: Path, shared: list[str], of_two: list[str]) -> None:
    """1e-6 of loss and gradient."""
    one, two = first_steps(tmp_path, (1, "ddp", [TWICE, *shared]), (2, "fsdp", [*shared, *of_two]))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert two["gradients"].keys() == one["gradients"].keys() and one["gradients"]
    for name, gradient in one["gradients"].items():
        assert relative(two["gradients"][name], gradient) < 1e-6, name


@pytest.mark.slow
@pytest.mark.parametrize("last_rank", ["empty", "textual"])
@pytest.mark.parametrize("kind", ["projection", "whole"])
def test_a_rank_without_rows_or_images_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_rank: str,
                                                  kind: str) -> None:
    """Sharded and replicated ranks that see the same give the same, and nobody waits for ever."""
    monkeypatch.setenv("LAST_RANK", last_rank)
    ddp, fsdp = first_steps(tmp_path, (2, "ddp", KINDS[kind]), (2, "fsdp", KINDS[kind]))
    assert fsdp["loss"] == pytest.approx(ddp["loss"], rel=1e-6)
    for name, gradient in ddp["gradients"].items():
        assert relative(fsdp["gradients"][name], gradient) < 1e-6, name


def tensors(checkpoint: Path) -> dict[str, Tensor]:
    assert compare_checksums(checkpoint)
    return {name: value for file in checkpoint.glob("*.safetensors") for name, value in load_file(file).items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_two_goes_on_with_one_or_three(tmp_path: Path, kind: str) -> None:
    """Weights as of one process after 3 steps: 1e-5. The checkpoint of two ranks is gone on from by 1 and 3."""
    write_tiny_run(tmp_path, run={**RUN, "max_epoch": 3, "iters_per_epoch": 1, "save_every": 1})
    train = ["train", "--cfg-path", "run.yaml"]
    resume = [*train, "--resume-from", "2"]

    def options(folder: str, *more: str) -> list[str]:
        return ["--options", f"run.output_dir={folder}", *KINDS[kind], *more]

    run_forked((1, [*train, *options("one", TWICE)]), (2, [*train, *options("two", "run.parallel=fsdp")]), cwd=tmp_path)
    for other in ("alone", "ddp", "three"):
        shutil.copytree(tmp_path / "two", tmp_path / other)
    run_forked((1, [*resume, *options("alone", "run.parallel=fsdp")]), (1, [*resume, *options("ddp")]),
               (3, [*resume, *options("three", "run.parallel=fsdp")]), cwd=tmp_path)
    expected = tensors(RunFolder(tmp_path / "one").checkpoint(3))
    assert expected
    for folder in ("two", "alone", "ddp", "three"):
        found = tensors(RunFolder(tmp_path / folder).checkpoint(3))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            close(found[name], value, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_of_two_ranks_is_that_of_one(tmp_path: Path, kind: str) -> None:
    """The first step's learning rate of 0 leaves the weights as they were: files, parts and every bit are the same."""
    write_tiny_run(tmp_path, run={**RUN, "iters_per_epoch": 2, "save_every": 1, "warmup_lr": 0.0, "warmup_steps": 1})
    train = ["train", "--cfg-path", "run.yaml", "--options", *KINDS[kind]]
    run_forked((1, [*train, TWICE, "run.output_dir=one"]), (2, [*train, "run.parallel=fsdp", "run.output_dir=two"]),
               cwd=tmp_path)
    one, two = (RunFolder(tmp_path / name).checkpoint(1) for name in ("one", "two"))
    assert sorted(path.name for path in one.glob("model*")) == sorted(path.name for path in two.glob("model*"))
    ours, theirs = tensors(two), tensors(one)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (one, two)]
    assert manifests[0]["parts"] == manifests[1]["parts"]
