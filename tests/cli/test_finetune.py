"""`minigpt4 finetune`: own images and texts to a model that chats, in one command; every mistake in a sentence."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import minigpt4
from minigpt4.cli.main import main
from minigpt4.common.config import load_config
from minigpt4.common.errors import UserError
from minigpt4.models.lora import LoraConfig
from minigpt4.runners.finetuning.wishes import frozen_parts, lora_of
from tests import tiny

COLORS = ["red", "green", "blue", "white", "black", "yellow"]


def write_data(folder: Path, records: list[Any] | None = None) -> tuple[Path, Path]:
    """Six images and a line for each (or the given lines)."""
    images, texts = folder / "images", folder / "texts.jsonl"
    images.mkdir()
    for number in range(len(COLORS)):
        tiny.image(number).save(images / f"{number}.png")
    if records is None:
        records = [{"image": f"{number}.png", "caption": f"a {color} rose 你好"} for number, color in enumerate(COLORS)]
    texts.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return images, texts


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What stage 1 left."""
    folder = tmp_path / "stage1"
    folder.mkdir()
    loaded = tiny.model(template="plain")
    config = tiny.as_yaml(loaded.config) + "run: {init_lr: 0.01, clip_grad_norm: 1.0}\n"
    loaded.save_bundle(folder, resolved_config=config, stage="one", step=1)
    return folder


def finetune(folder: Path, bundle: Path, images: Path, texts: Path, *more: str) -> int:
    return main(["finetune", "--images", str(images), "--texts", str(texts), "--from", str(bundle),
                 "--output-dir", str(folder / "out"), *more])


def test_u20_own_images_and_texts_to_a_chat_in_one_command(
    tmp_path: Path, bundle: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """After stage 2 on own data the model answers, and no notice of stage 1 comes."""
    caplog.set_level(logging.INFO, logger="minigpt4")
    images, texts = write_data(tmp_path)
    assert finetune(tmp_path, bundle, images, texts, "--epochs", "2", "--batch-size", "3",
                    "--options", "run.device=cpu", "run.valid_captions=1") == 0
    said = caplog.text
    assert "step 4/4" in said
    assert f"minigpt4 chat --model {tmp_path / 'out'}" in said
    capsys.readouterr()
    assert main(["chat", "--model", str(tmp_path / "out"), "--image", str(images / "0.png"), "--device", "cpu",
                 "--question", "what is this", "--max-new-tokens", "5"]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() and "stage 1" not in shown.err


def test_from_python(tmp_path: Path, bundle: Path) -> None:
    """The same run, and the checkpoint that a model is loaded from."""
    images, texts = write_data(tmp_path)
    options = ["run.device=cpu", "run.valid_splits=[]"]
    newest = minigpt4.finetune(images=str(images), texts=texts, source=bundle, output_dir=tmp_path / "out", epochs=2,
                               batch_size=3, options=options)
    assert newest == tmp_path / "out" / "checkpoint_00000004"
    assert minigpt4.load(newest).chat(images / "0.png", "what is this", max_new_tokens=5)
    with pytest.raises(UserError, match="not empty"):
        minigpt4.finetune(images=images, texts=texts, source=bundle, output_dir=tmp_path / "out")
    (tmp_path / "out" / "last").resolve().rename(tmp_path / "lost")
    assert minigpt4.finetune(output_dir=tmp_path / "out", resume=True) == newest, "made anew from the one before"


def test_what_is_missing_or_contradicts_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="resume=True continues"):
        minigpt4.finetune(images=tmp_path, output_dir=tmp_path / "out")
    with pytest.raises(UserError, match="nothing to continue"):
        minigpt4.finetune(output_dir=tmp_path / "out", resume=True)
    assert main(["finetune", "--output-dir", str(tmp_path / "out"), "--write-only", "--resume"]) == 2
    assert "use one of them" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "sentence"), [
    ({"epochs": "3"}, "epochs: is '3'; use a whole number"),
    ({"options": "run.device=cpu"}, "options: is 'run.device=cpu'; use a list of texts"),
    ({"options": [5]}, r"options: is \[5\]"),
])
def test_what_python_hands_over_is_checked(tmp_path: Path, bundle: Path, change: dict[str, Any], sentence: str) -> None:
    images, texts = write_data(tmp_path)
    with pytest.raises(UserError, match=sentence):
        minigpt4.finetune(images=images, texts=texts, source=bundle, output_dir=tmp_path / "out", **change)


def test_the_run_is_a_readable_yaml_made_from_the_bundle(tmp_path: Path, bundle: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    images, texts = write_data(tmp_path)
    assert finetune(tmp_path, bundle, images, texts, "--write-only") == 0
    file = tmp_path / "out" / "run.yaml"
    assert f"wrote {file}" in capsys.readouterr().out
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    config = load_config(file)
    assert config.model.template == "vicuna_v0" and config.model.ckpt == str(bundle)
    assert config.model.vision.widths == tiny.config().vision.widths
    assert config.model.vision.freeze and config.model.resampler.freeze and not config.model.llm.freeze
    assert config.run.init_lr == pytest.approx(0.003) and config.run.clip_grad_norm == 1.0
    assert config.datasets["image_jsonl"].batch_size == len(COLORS) and config.run.max_epoch == 40
    assert "mean" not in str(written) and "lora_r" not in written["model"], "defaults are not written out"
    comments = [line for line in file.read_text(encoding="utf-8").splitlines() if "# " in line]
    assert len(comments) > 8


def test_a_written_run_is_trained_by_resume(tmp_path: Path, bundle: Path) -> None:
    images, texts = write_data(tmp_path)
    finetune(tmp_path, bundle, images, texts, "--write-only", "--epochs", "1", "--options", "run.valid_splits=[]")
    assert main(["finetune", "--output-dir", str(tmp_path / "out"), "--resume"]) == 0
    assert (tmp_path / "out" / "checkpoint_00000001" / "manifest.json").exists()


def test_a_bundle_of_stage_two_keeps_its_template_prompts_and_rate(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("<ImageHere> what is this?\n")
    loaded = tiny.model(template="vicuna_v1", prompt_path=str(prompts))
    folder = tmp_path / "stage2"
    folder.mkdir()
    config = tiny.as_yaml(loaded.config) + "run: {init_lr: 0.01}\n"
    loaded.save_bundle(folder, resolved_config=config, stage="two", step=1)
    finetune(tmp_path, folder, *write_data(tmp_path), "--write-only")
    written = load_config(tmp_path / "out" / "run.yaml")
    assert written.model.template == "vicuna_v1" and written.run.init_lr == pytest.approx(0.01)
    assert Path(written.model.prompt_path).read_text() == "<ImageHere> what is this?\n"


def test_images_that_are_not_there_are_counted_and_the_first_are_named(tmp_path: Path, bundle: Path,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    images, texts = write_data(tmp_path, [{"image": f"no{number}.png", "caption": "a rose"} for number in range(7)]
                               + [{"image": "0.png", "caption": ""}, {"image": "1.png"}])
    assert finetune(tmp_path, bundle, images, texts) == 2
    told = capsys.readouterr().err
    assert "7 images are not there" in told and "texts.jsonl:1: no0.png" in told and "and 4 more" in told
    assert "no4.png" not in told
    assert "2 of 9 lines cannot be learned" in told and "texts.jsonl:8: caption is empty" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("change", "sentence"), [
    ({"images": "nowhere"}, "is not a folder"),
    ({"texts": "nowhere.jsonl"}, "is not a file"),
    ({"from": "images"}, "is neither a bundle nor a run folder"),
    ({"epochs": "0"}, "minigpt4 finetune: argument --epochs: is 0; use 1 or more"),
    ({"batch-size": "-1"}, "argument --batch-size: is -1; use 1 or more"),
    ({"options": "run.init_lrr=1"}, "did you mean 'init_lr'"),
])
def test_bad_input_is_a_sentence_and_leaves_nothing(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str],
                                                    change: dict[str, str], sentence: str) -> None:
    images, texts = write_data(tmp_path)
    flags = {"images": str(images), "texts": str(texts), "from": str(bundle), "output-dir": str(tmp_path / "out")}
    for flag, value in change.items():
        flags[flag] = str(tmp_path / value) if flag in ("images", "texts", "from") else value
    assert main(["finetune", *(word for flag, value in flags.items() for word in (f"--{flag}", value))]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_flags_that_are_missing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "--output-dir", str(tmp_path), "--images", "x"]) == 2
    assert "--texts and --from not given" in capsys.readouterr().err


def test_an_output_folder_in_use_is_refused(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, texts = write_data(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert finetune(tmp_path, bundle, images, texts) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert main(["finetune", "--output-dir", str(tmp_path / "nothing"), "--resume"]) == 2
    assert "nothing to continue" in capsys.readouterr().err


# --- what trains, what is kept back, what is told ---


@pytest.mark.parametrize(("train", "frozen", "rank"), [
    ("projection", {"vision", "resampler", "llm"}, 0), ("lora", {"vision", "resampler", "llm"}, 16),
    ("everything", set(), 0),
])
def test_what_trains_is_a_flag(tmp_path: Path, bundle: Path, train: str, frozen: set[str], rank: int) -> None:
    assert finetune(tmp_path, bundle, *write_data(tmp_path), "--write-only", "--train", train) == 0
    model = load_config(tmp_path / "out" / "run.yaml").model
    assert {name for name, part in model.parts().items() if part.freeze} == frozen
    assert model.llm.lora.r == rank


def test_adapters_cannot_stand_still(bundle: Path) -> None:
    model = load_config(bundle / "config.yaml", sections=("model",)).model
    adapted = replace(model, llm=replace(model.llm, freeze=True, lora=LoraConfig(r=4, alpha=8)))
    with pytest.raises(UserError, match="has adapters on its language model, which go on training"):
        frozen_parts(adapted, "projection")
    assert lora_of(adapted)["r"] == 4, "a bundle's own adapters go on as they are"


def test_u26_images_are_kept_back_and_asked_about(
    tmp_path: Path, bundle: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    """Recorded in files that run.yaml names, so that a resumed run keeps back the same; the report is made again."""
    caplog.set_level(logging.INFO, logger="minigpt4")
    images, texts = write_data(tmp_path)
    assert finetune(tmp_path, bundle, images, texts, "--epochs", "1", "--hold-out", "0.34", "--options",
                    "run.device=cpu", "run.valid_captions=0") == 0
    out = tmp_path / "out"
    kept = (out / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    trained = (out / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(kept) == 2 and sorted(kept + trained) == sorted(texts.read_text(encoding="utf-8").splitlines())
    config = load_config(out / "run.yaml")
    info = config.datasets["image_jsonl"].build_info
    assert info.annotations == str(out / "train.jsonl") and config.run.valid_splits == ["held_out"]
    assert info.at("held_out").annotations == str(out / "held_out.jsonl")
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["figures"]["questions"] == 2
    assert {name for each in report["answers"] for name in each["images"]} == {json.loads(one)["image"] for one in kept}
    assert "data:image/jpeg;base64" in (out / "report.html").read_text(encoding="utf-8")
    assert "2 samples about 2 images are kept back" in caplog.text and f"report: {out / 'report.html'}" in caplog.text
    (out / "report.html").unlink()
    assert main(["finetune", "--output-dir", str(out), "--resume"]) == 0 and (out / "report.html").exists()


def test_foreign_texts_are_told_before_and_what_was_not_learned_after(
    tmp_path: Path, bundle: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    """A frozen language model of random weights knows nothing, and one step of a projection does not help it."""
    caplog.set_level(logging.INFO, logger="minigpt4")
    images, texts = write_data(tmp_path)
    still = ("run.device=cpu", "run.valid_splits=[]", "run.init_lr=1e-9", "run.min_lr=0", "run.warmup_lr=-1")
    assert finetune(tmp_path, bundle, images, texts, "--epochs", "1", "--train", "projection", "--options", *still) == 0
    said = caplog.text
    assert "0.0% of" in said and "guessing costs ln 320 = 5.77" in said
    before, after = said.index("the frozen language model hardly knows these texts"), said.index("nothing was learned")
    assert before < said.index("step 1/1") < after
    assert said.count("--train everything, or with --train lora") == 2


def test_flags_of_the_new_kind_are_checked(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, texts = write_data(tmp_path)
    assert finetune(tmp_path, bundle, images, texts, "--hold-out", "1") == 2
    assert "--hold-out: is 1; use more than 0 and below 1" in capsys.readouterr().err
    with pytest.raises(UserError, match="train: is 'all'; known: everything, lora, projection"):
        minigpt4.finetune(images=images, texts=texts, source=bundle, output_dir=tmp_path / "out", train="all")
    with pytest.raises(UserError, match="hold_out: is 2; use a share above 0 and below 1"):
        minigpt4.finetune(images=images, texts=texts, source=bundle, output_dir=tmp_path / "out", hold_out=2)
