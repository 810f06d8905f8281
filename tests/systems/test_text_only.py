"""A model without images: trained, looked at, asked, resumed; images given to it are refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from minigpt4 import load
from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Questions and answers, plain texts, a tokenizer and the YAML of a run of two steps."""
    monkeypatch.chdir(tmp_path)
    records = [{"conversations": [{"from": "human", "value": f"what is {number}"},
                                  {"from": "gpt", "value": f"a number {number}"}]} for number in range(6)]
    Path("records.json").write_text(json.dumps(records), encoding="utf-8")
    Path("texts.txt").write_text("a red rose\non the table\nin detail\n", encoding="utf-8")
    shutil.copytree(tiny.tokenizer_folder(), "tokenizer")
    datasets = {"llava_instruct": {"batch_size": 4, "build_info": {"annotations": "records.json", "storage": "."}},
                "plain_text": {"batch_size": 4, "build_info": {"storage": "texts.txt"}}}
    run = {"lr_sched": "warmup_cosine", "init_lr": 1e-2, "max_epoch": 1, "iters_per_epoch": 2, "save_every": 1,
           "device": "cpu", "num_workers": 0, "seed": 3, "output_dir": "out"}
    model = {"arch": "text_only", "llm": {"tokenizer": "tokenizer"}}
    config = {"imports": ["tests.systems.text_only.system"], "model": model, "datasets": datasets, "run": run}
    Path("run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return tmp_path


def test_it_trains_resumes_and_chats(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg-path", "run.yaml"]) == 0
    last = Path("out", "checkpoint_00000002")
    whole = load_file(last / "model.safetensors")
    shutil.rmtree(last)
    assert main(["train", "--cfg-path", "run.yaml", "--resume"]) == 0
    resumed = load_file(last / "model.safetensors")
    assert set(whole) == set(resumed) and all(torch.equal(whole[name], resumed[name]) for name in whole)
    answer = load("out", allow_imports=True).chat(None, "what is 1", max_new_tokens=8)
    assert isinstance(answer, str) and answer
    capsys.readouterr()
    for command in (["show", "out"], ["weights", "verify", "out"], ["weights", "info", "out"],
                    ["chat", "--model", "out", "--question", "what is 1", "--max-new-tokens", "4"]):
        assert main(command if "info" in command else [*command, "--allow-imports"]) == 0, command
        assert capsys.readouterr().out


def test_images_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg-path", "run.yaml"]) == 0
    tiny.image(1).save("rose.png")
    with pytest.raises(UserError, match="this model is text-only"):
        load("out", allow_imports=True).chat("rose.png", "what is this")
    record = {"image": "rose.png", "conversations": [{"from": "human", "value": "<image>\nwhat"},
                                                     {"from": "gpt", "value": "a rose"}]}
    Path("records.json").write_text(json.dumps([record] * 8), encoding="utf-8")
    capsys.readouterr()
    assert main(["train", "--cfg-path", "run.yaml", "--options", "run.output_dir=other"]) == 2
    assert "has an image, and the model is text-only" in capsys.readouterr().err
