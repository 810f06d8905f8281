"""A second system from outside: two encoders of one image, five fused hidden states, rows without an image, padding, a
learning-rate factor, a router loss. It trains, resumes and chats, and each of its properties acts."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from minigpt4 import load
from minigpt4.cli.main import main
from minigpt4.models.visual_path import Stage, VisualPath
from tests import tiny

NAME = "two_encoders"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Wide images, records with and without one, a tokenizer and the YAML of a run of two steps of four rows."""
    monkeypatch.chdir(tmp_path)
    records = []
    for number in range(4):
        tiny.image(number, 24).resize((48, 24), Image.Resampling.NEAREST).save(f"{number}.png")
        records.append({"image": f"{number}.png", "conversations": [
            {"from": "human", "value": "<image>\nwhat is this"}, {"from": "gpt", "value": "a red rose"}]})
        records.append({"conversations": [
            {"from": "human", "value": f"what is {number}"}, {"from": "gpt", "value": f"a number {number}"}]})
    Path("records.json").write_text(json.dumps(records), encoding="utf-8")
    shutil.copytree(tiny.tokenizer_folder(), "tokenizer")
    run = {
        "imports": ["tests.systems.two_encoders.system"],
        "model": {"arch": NAME, "llm": {"tokenizer": "tokenizer"}},
        "datasets": {"llava_instruct": {"batch_size": 4,
                                        "build_info": {"annotations": "records.json", "storage": "."}}},
        "run": {"lr_sched": "warmup_cosine", "init_lr": 1e-2, "min_lr": 1e-3, "max_epoch": 1, "iters_per_epoch": 2,
                "save_every": 1, "device": "cpu", "num_workers": 0, "seed": 3, "output_dir": "out"},
    }
    Path("run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    return tmp_path


def train(output: str, *options: str, resume: bool = False) -> None:
    words = ["train", "--cfg-path", "run.yaml", "--options", f"run.output_dir={output}", *options]
    assert main([*words, "--resume"] if resume else words) == 0


def losses(output: str) -> list[float]:
    lines = [json.loads(line) for line in Path(output, "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "step"]


def test_it_trains_resumes_and_chats(folder: Path) -> None:
    train("out")
    last = Path("out", "checkpoint_00000002")
    whole = load_file(last / "model.safetensors")
    shutil.rmtree(last)
    train("out", resume=True)
    resumed = load_file(last / "model.safetensors")
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    assistant = load("out", allow_imports=True)
    answers = {assistant.chat(f"{number}.png", "what is this", max_new_tokens=12) for number in range(4)}
    assert len(answers) > 1, "the image changes the answer"
    assert isinstance(assistant.chat(None, "what is 1", max_new_tokens=4), str)


def changed(output: str) -> set[str]:
    """Parts whose weights the second step changed."""
    before, after = (load_file(Path(output, f"checkpoint_0000000{step}", "model.safetensors")) for step in (1, 2))
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_a_batch_may_hold_rows_without_an_image_alone(folder: Path) -> None:
    """What only images reach stays as it is where nothing decays it; beside rows with an image it learns."""
    train("mixed", "run.keep_checkpoints=5")
    records = json.loads(Path("records.json").read_text(encoding="utf-8"))
    Path("records.json").write_text(json.dumps([each for each in records if "image" not in each]), encoding="utf-8")
    train("text", "run.keep_checkpoints=5", "run.weight_decay=0", "datasets.llava_instruct.batch_size=2")
    assert changed("mixed") == {"second", "fusion", "llm"}
    assert changed("text") == {"llm"}


@pytest.mark.parametrize(("option", "same_first_loss"), [
    ("model.fusion.lr_factor=1", True),  # what the first update did shows in the second loss
    ("model.llm.router_loss=0", True),  # which is the words' alone
    ("model.fusion.reads_second=False", False),
    ("model.fit=squash", False),
])
def test_each_property_acts(folder: Path, option: str, same_first_loss: bool) -> None:
    train("with")
    train("without", option)
    (first, second), (other_first, other_second) = losses("with"), losses("without")
    assert (first == pytest.approx(other_first, rel=1e-6)) == same_first_loss  # padded with routers, else in one row
    assert second != other_second


@pytest.mark.parametrize(("field", "sentence"), [("out_tokens", r"takes \[images, 15, 32\]"),
                                                 ("out_width", r"makes image tokens \[2, 16, 33\]")])
def test_tokens_of_another_shape_are_refused(folder: Path, field: str, sentence: str, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    """Silently scattered they would be another image's."""
    from tests.systems.two_encoders import parts

    class Wrong(parts.Fusion):
        def __init__(self, config: parts.FusionConfig, width: int, second: int, tokens: int, llm_width: int) -> None:
            super().__init__(config, width, second, tokens, llm_width + (field == "out_width"))
            self.out_tokens = tokens - (field == "out_tokens")

    monkeypatch.setattr("tests.systems.two_encoders.system.Fusion", Wrong)
    assert main(["train", "--cfg-path", "run.yaml"]) == 2
    assert re.search(sentence, capsys.readouterr().err)


def test_a_stage_without_a_part_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    from tests.systems.two_encoders.system import TwoEncoders, TwoEncodersConfig

    def renamed(config: TwoEncodersConfig, llm_width: int) -> VisualPath:
        path = make(config, llm_width)
        names = {"fusion": "joined"}
        stages = {names.get(name, name): Stage(module, path.reads[name], path.writes[name])
                  for name, module in path.stages.items()}
        return VisualPath(stages)

    make = TwoEncoders.visual_path
    monkeypatch.setattr(TwoEncoders, "visual_path", staticmethod(renamed))
    assert main(["train", "--cfg-path", "run.yaml"]) == 2
    assert "TwoEncodersConfig: has no part 'joined', the name of a stage" in capsys.readouterr().err
