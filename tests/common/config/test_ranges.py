"""Numbers that make sense: refused with the range and the place, by the config engine and the command line alike."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from minigpt4.cli.main import main
from minigpt4.common import registry
from minigpt4.common.config.fields import fields_of
from minigpt4.common.config.ranges import LARGEST, PositiveInt, PositiveShare, Range, Seed, number, range_of
from minigpt4.common.config.suggestions import MEANINGS
from minigpt4.common.errors import UserError
from minigpt4.generation.settings import DecodingSettings
from minigpt4.runners.config import RunConfig
from tests import tiny


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
          ) -> Callable[..., tuple[int, str]]:
    """A dry run of a small YAML with options -> exit status and what was said."""
    (tmp_path / "a.txt").write_text("a red rose\na blue rose\n")
    sections = {**yaml.safe_load(tiny.as_yaml(tiny.config())),
                "datasets": {"plain_text": {"build_info": {"storage": "a.txt"}}},
                "run": {"device": "cpu", "batch_size_train": 1, "iters_per_epoch": 4}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(sections))
    monkeypatch.chdir(tmp_path)

    def run(*options: str) -> tuple[int, str]:
        status = main(["train", "--cfg-path", "run.yaml", "--dry-run", *(["--options", *options] if options else [])])
        said = capsys.readouterr()
        return status, said.out + said.err
    return run


@pytest.mark.parametrize(("option", "sentence"), [
    ("seed=-1", "use 0 to 4294967295"), ("seed=4294967296", "use 0 to 4294967295"),
    ("num_workers=-1", "use 0 to 512"), ("save_every=0", "use 1 or more"), ("init_lr=-1", "use more than 0"),
    ("init_lr=.nan", "use a finite number"), ("init_lr=.inf", "use a finite number"), ("beta2=1.5", "below 1"),
    ("beta2=2", "below 1"), ("num_threads=0", "use 1 to 1024"), ("num_threads=100000", "use 1 to 1024"),
    ("clip_grad_norm=0", "null = no clipping"), ("clip_grad_norm=-1", "null = no clipping"),
    ("iters_per_epoch=-3", "use 1 or more"), ("min_lr=1", "above run.init_lr 0.0001"), ("warmup_lr=-0.5", "use -1"),
    ("warmup_lr=1", "so the warm-up would do nothing"), ("evaluate=True", "so nothing would be measured"),
    ("warmup_steps=500", "only 4 micro-steps"), ("precision=fp16", "does not train on cpu"),
    ("valid_splits=[vall]", "names the split 'vall', which no data set gives"), ("max_unreadable=2", "use 0 to 1"),
    ("weight_decay=-0.1", "use 0 or more"), ("log_freq=0", "use 1 or more"), ("process_timeout=0", "use 1 or more"),
])
def test_a_number_out_of_range_is_found_by_the_dry_run(train: Callable[..., tuple[int, str]], option: str,
                                                      sentence: str) -> None:
    assert train()[0] == 0
    status, said = train(f"run.{option}")
    assert status == 2 and sentence in said and f"run.{option.partition('=')[0]}" in said


def test_all_are_told_together_relations_too(train: Callable[..., tuple[int, str]]) -> None:
    status, said = train("run.seed=-1", "run.min_lr=1", "run.beta2=7", "model.connector.lr_factor=0", "run.nonsense=1")
    assert status == 2 and len(said.splitlines()) == 5


@pytest.mark.parametrize(("key", "sentence"), [
    ("run.learning_rate", "here it is run.init_lr"), ("run.num_train_epochs", "here it is run.max_epoch"),
    ("run.gradient_accumulation_steps", "here it is run.accum_grad_iters"),
    ("run.per_device_train_batch_size", "here it is run.batch_size_train"),
    ("model.device_map", "here it is model.llm.device_map"),
    ("model.torch_dtype", "here it is model.llm.dtype"), ("model.load_in_8bit", "here it is model.llm.quantize=int8"),
    ("model.seed", "here it is run.seed"), ("model.output_dir", "here it is run.output_dir"),
    ("run.bf16", "here it is run.precision=bf16"), ("run.deepspeed", "there is no such key"),
    ("run.initlr", "did you mean 'init_lr'?"), ("run.zzz", "known: accum_grad_iters, amp"),
])
def test_suggestions_go_by_meaning_place_and_spelling(train: Callable[..., tuple[int, str]], key: str, sentence: str
                                                      ) -> None:
    status, said = train(f"{key}=1")
    assert status == 2 and f"{key} is unknown; {sentence}" in said


def test_every_meaning_names_a_key_that_exists() -> None:
    run = fields_of(RunConfig)
    system = registry.systems.get("minigpt4").Config
    for key, meant in MEANINGS.items():
        dotted = meant.partition(" ")[0].partition("=")[0]
        head, _, rest = dotted.partition(".")
        if head == "run":
            assert rest in run, key
        if head == "model":
            config = system
            for name in rest.split("."):
                assert name in fields_of(config), key
                config = type(fields_of(config)[name].default)


def test_no_number_of_the_run_is_without_a_range() -> None:
    numbers = [each for each in fields_of(RunConfig).values() if "int" in str(each.hint) or "float" in str(each.hint)]
    assert len(numbers) > 20
    assert not [each.name for each in numbers if range_of(each.hint) is None]
    assert len(fields(RunConfig)) == len(fields_of(RunConfig))


def test_a_range_in_words_in_schema_and_on_the_command_line() -> None:
    assert str(Range(1, LARGEST)) == "1 or more" and str(Range(0, 1, above_low=True)) == "more than 0 and up to 1"
    assert str(Range(0, 512)) == "0 to 512" and str(Range(0, 1, below_high=True)) == "0 or more and below 1"
    assert Range(0, 1, above_low=True).as_schema() == {"exclusiveMinimum": 0, "maximum": 1}
    assert math.nan not in Range() and math.inf not in Range()
    assert number(PositiveInt)("3") == 3 and number(PositiveShare)("0.5") == 0.5
    for kind, text in ((PositiveInt, "0"), (PositiveInt, "x"), (PositiveInt, "1.5"), (PositiveShare, "nan"),
                       (Seed, "-1")):
        with pytest.raises(argparse.ArgumentTypeError, match="use "):
            number(kind)(text)


@pytest.mark.parametrize("words", [
    ["chat", "--max-new-tokens", "-3"], ["chat", "--temperature", "nan"], ["chat", "--num-beams", "0"],
    ["demo", "--port", "99999"], ["caption", "x", "--batch-size", "0"], ["eval", "--limit", "0"],
    ["data", "scenes", "--output", "x", "--seed", "-1"], ["train", "--cfg-path", "x", "--resume-from", "-1"],
])
def test_flags_have_the_same_ranges(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2 and "; use " in capsys.readouterr().err


def test_decoding_in_python_is_checked_too() -> None:
    for wrong in ({"max_new_tokens": 0}, {"top_p": 0.0}, {"min_new_tokens": 9, "max_new_tokens": 3}, {"seed": -1},
                  {"repetition_penalty": math.nan}):
        with pytest.raises(UserError):
            DecodingSettings(**wrong)


@pytest.mark.parametrize(("text", "sentence"), [
    ("datasets:\n  d:\n    data_type:images\n    build_info: {}\n", "a blank is missing after the colon in line 3"),
    ("model:\n  arch: minigpt4\n  llm:\n    weights:/data/x\n", "write a blank after the colon: 'weights: /data/x'"),
    ("model: {arch: minigpt4, prompt_template: '${oc.env:NOT_SET_HERE}'}\n", "export NOT_SET_HERE=…"),
    ("model: {arch: minigpt4, llm: {weights: Qwen/Qwen3-0.6B}}\n", "minigpt4 weights download hub:Qwen/Qwen3-0.6B"),
])
def test_slips_of_the_pen(tmp_path: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(text)
    assert main(["train", "--dry-run", "--cfg-path", str(tmp_path / "run.yaml")]) == 2
    assert sentence in capsys.readouterr().err


def test_prompts_of_the_package_are_found_from_any_folder(train: Callable[..., tuple[int, str]]) -> None:
    assert train("model.prompt_path=prompts/alignment.txt")[0] == 0
