"""`minigpt4 train` from a YAML to bundles, on the recorded tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minigpt4.cli.main import main
from minigpt4.inference.load import load_model
from minigpt4.runners.curve import read_log
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.start import setup
from tests.parity import minigpt4_folder
from tests.tasks.tiny_runs import write_tiny_run


def _tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "model.safetensors")


def test_a_dry_run_tells_everything_and_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "build", lambda *arguments, **keywords: pytest.fail("a dry run loads nothing"))
    assert main(["train", "--cfg-path", str(write_tiny_run(tmp_path)), "--dry-run"]) == 0
    told = capsys.readouterr().out
    for words in ("connector  linear           trains", "data cc_sbu_align:", "2 epochs x 3 micro-batches of 3 on 1",
                  "warmup_cosine: 0.001 at the first step"):
        assert words in told
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize(("changes", "said"), [
    (["run.warmup_steps=6"], "run.warmup_steps: is 6, but the run has only 6 optimizer steps"),
    (["run.warmup_steps=6", "run.lr_sched=linear_warmup_cosine_lr"], "the run has only 6 micro-steps"),
    (["model.connector.freeze=True"], "every part is frozen, nothing would be trained"),
])
def test_a_run_that_would_do_nothing_is_told_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[str], said: str,
) -> None:
    words = ["train", "--cfg-path", str(write_tiny_run(tmp_path)), "--options", *changes]
    for more in (["--dry-run"], []):
        assert main([*words[:3], *more, *words[3:]]) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("out/checkpoint_*"))


def test_a_run_and_its_resume_with_workers_are_bit_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Q-Former and ViT are trained too, so its dropout is at work."""
    (tmp_path / "cut").mkdir()
    straight = write_tiny_run(tmp_path, train=True, run={"keep_checkpoints": 5})
    cut = write_tiny_run(tmp_path / "cut", train=True, run={"keep_checkpoints": 5})
    assert main(["train", "--cfg-path", str(straight)]) == 0, capsys.readouterr().err
    assert main(["train", "--cfg-path", str(cut)]) == 0
    folder = RunFolder(tmp_path / "cut" / "out")
    folder.checkpoint(6).rename(tmp_path / "later")
    assert main(["train", "--cfg-path", str(cut), "--resume", "--options", "run.num_workers=1"]) == 0
    expected, resumed = _tensors(RunFolder(tmp_path / "out").checkpoint(6)), _tensors(folder.checkpoint(6))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    valid = read_log(folder.log)["valid"][-1]
    assert {"loss", "image_gap"} <= valid.keys()
    assert sum(name.startswith("caption of") for name in valid) == 2


def test_a_run_is_repeated_by_the_config_in_its_folder(tmp_path: Path) -> None:
    assert main(["train", "--cfg-path", str(write_tiny_run(tmp_path, run={"max_epoch": 1, "valid_splits": []}))]) == 0
    again = tmp_path / "again"
    resolved = str(tmp_path / "out" / "config.yaml")
    assert main(["train", "--cfg-path", resolved, "--options", f"run.output_dir={again}"]) == 0
    first, second = _tensors(RunFolder(tmp_path / "out").checkpoint(3)), _tensors(RunFolder(again).checkpoint(3))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_of_the_original_runner_is_gone_on_from(tmp_path: Path) -> None:
    path = minigpt4_folder.folder() / "parts" / "runner_checkpoint_stage2.pth"
    original = torch.load(path, weights_only=True)
    run = {"max_epoch": original["epoch"] + 2, "resume_ckpt_path": str(path), "valid_splits": [], "init_lr": 1e-12}
    assert main(["train", "--cfg-path", str(write_tiny_run(tmp_path, run=run))]) == 0
    newest = RunFolder(tmp_path / "out").newest()
    assert newest is not None
    steps = read_log(tmp_path / "out" / "log.jsonl")["step"]
    assert [entry["epoch"] for entry in steps] == [original["epoch"] + 1] * 3
    state = torch.load(newest / "state.pt", weights_only=True)["optimizer"]["state"]
    assert state[0]["step"] == original["optimizer"]["state"][0]["step"] + 3
    weight = next(value for value in _tensors(newest).values() if value.ndim == 2)
    torch.testing.assert_close(weight, original["model"]["llama_proj.weight"], rtol=0, atol=1e-9)


def test_evaluate_measures_the_test_splits_and_writes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_tiny_run(tmp_path, run={"evaluate": True, "test_splits": ["val"]})
    with caplog.at_level("INFO"):
        assert main(["train", "--cfg-path", str(path)]) == 0
    assert "val: loss" in caplog.text and "image_gap" in caplog.text
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_torchrun_on_two_processes_learns_what_one_learns(tmp_path: Path, project: Path) -> None:
    """Two samples each on two ranks are four on one."""
    (tmp_path / "two").mkdir()
    one = write_tiny_run(tmp_path, run={"valid_splits": []})
    two = write_tiny_run(tmp_path / "two", run={"valid_splits": []})
    both = ["--options", "datasets.cc_sbu_align.batch_size=4"]
    assert main(["train", "--cfg-path", str(one), *both]) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               str(project / "train.py"), "--cfg-path", str(two), "--options", "datasets.cc_sbu_align.batch_size=2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stderr
    alone, shared = (_tensors(RunFolder(folder / "out").checkpoint(6)) for folder in (tmp_path, tmp_path / "two"))
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-4, atol=1e-6)


def test_u42_every_checkpoint_is_a_bundle_that_chat_can_load(tmp_path: Path) -> None:
    assert main(["train", "--cfg-path", str(write_tiny_run(tmp_path, run={"valid_splits": []}))]) == 0
    folder = RunFolder(tmp_path / "out")
    assert len(folder.checkpoints()) == 2
    for checkpoint in folder.checkpoints():
        connector = load_model(checkpoint).model.parts()["connector"].state_dict()
        stored = _tensors(checkpoint)
        assert all(torch.equal(value, stored[f"connector.{name}"]) for name, value in connector.items())


def test_u27_a_bundle_names_the_data_it_was_trained_on(tmp_path: Path) -> None:
    path = write_tiny_run(tmp_path, run={"valid_splits": [], "max_epoch": 1, "iters_per_epoch": 1})
    assert main(["train", "--cfg-path", str(path), "--options", "datasets.cc_sbu_align.licence=my own"]) == 0
    manifest = json.loads((RunFolder(tmp_path / "out").checkpoints()[-1] / "manifest.json").read_text())
    assert manifest["data"] == [{"name": "cc_sbu_align", "licence": "my own"}]
