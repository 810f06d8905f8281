"""Every mistake is one clear sentence with file, line, key and the nearest right one, and all are told together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt4.common.config import Config, load_config
from minigpt4.common.errors import UserError, UserErrors

Load = Callable[..., Config]

GOOD = """\
model:
  arch: toy
  llm: ./llm
  vision:
    size: 4
datasets:
  toy_data:
    sample_ratio: 2
    build_info:
      storage: 0.tar
run:
  runner: toy_runner
  init_lr: 1e-4
  amp: True
"""

TYPOS = [
    ("model:", "modle:", "run.yaml:1: modle is unknown; did you mean 'model'?"),
    ("arch: toy", "arch: tooy", "run.yaml:2: model.arch: unknown model arch 'tooy'; did you mean 'toy'?"),
    ("llm: ./llm", "lllm: ./llm", "run.yaml:3: model.lllm is unknown; did you mean 'llm'?"),
    ("llm: ./llm", "llm: ./lm", "run.yaml:3: model.llm is './lm', which does not exist; "
     "give its path (folder of the language model)"),
    ("    size: 4", "    sise: 4", "run.yaml:5: model.vision.sise is unknown; did you mean 'size'?"),
    ("    size: 4", "    name: smal", "run.yaml:5: model.vision.name is 'smal', an unknown toy encoder; "
     "did you mean 'small'?"),
    ("toy_data:", "toy_date:", "run.yaml:7: datasets.toy_date: unknown data set 'toy_date'; did you mean 'toy_data'?"),
    ("sample_ratio: 2", "sample_ration: 2", "run.yaml:8: datasets.toy_data.sample_ration is unknown; "
     "did you mean 'sample_ratio'?"),
    ("init_lr: 1e-4", "init_lr: 1e-4x", "run.yaml:13: run.init_lr should be number, is '1e-4x'"),
    ("amp: True", "amp: Ture", "run.yaml:14: run.amp should be true or false, is 'Ture'"),
    ("amp: True", "ampp: True", "run.yaml:14: run.ampp is unknown; did you mean 'amp'?"),
    ("runner: toy_runner", "runner: toy_runer", "run.yaml:12: run.runner: unknown runner 'toy_runer'; "
     "did you mean 'toy_runner'?"),
]


@pytest.mark.parametrize(("right", "wrong", "sentence"), TYPOS)
def test_a_typo_gives_one_clear_sentence(load: Load, tmp_path: Path, right: str, wrong: str, sentence: str) -> None:
    (tmp_path / "0.tar").touch()
    load(GOOD)
    with pytest.raises(UserErrors) as caught:
        load(GOOD.replace(right, wrong, 1))
    assert [str(error) for error in caught.value.errors if "placeholder" not in str(error)] == [sentence]


def test_all_mistakes_are_told_together(load: Load) -> None:
    with pytest.raises(UserErrors) as caught:
        load("""\
            model:
              arch: toy
              vision: {size: 0}
              template: 7
            run:
              runner: toy_runner
              max_epoch: 0
              precision: fp31
              seed: 1.5
            """)
    told = [str(error) for error in caught.value.errors]
    assert len(told) == 6
    assert "run.yaml:8: run.precision is 'fp31'; did you mean 'fp32'?" in told
    assert "run.yaml:7: run.max_epoch is 0; use 1 or more" in told
    assert "run.yaml:3: model.vision.size is 0; use 1 or more" in told
    assert "run.yaml:4: model.template should be text, is 7; put it in quotes" in told
    assert "run.yaml:9: run.seed should be whole number, is 1.5" in told
    placeholder = next(sentence for sentence in told if "toy_one.yaml:4" in sentence)
    assert placeholder.endswith(
        "model.llm still has the placeholder 'please set this value to the folder of a language model'; "
        "write it into run.yaml or give --options model.llm=PATH (folder of the language model)"
    )


def test_a_misspelt_section_does_not_hide_other_mistakes(load: Load) -> None:
    with pytest.raises(UserErrors) as caught:
        load("modle: {arch: toy}\nrun: {runner: toy_runner, sed: 1}\n")
    assert [str(error) for error in caught.value.errors] == [
        "run.yaml:1: modle is unknown; did you mean 'model'?",
        "run.yaml:2: run.sed is unknown; did you mean 'seed'?",
    ]


def test_a_dataclass_tells_its_own_mistake_with_the_place(load: Load) -> None:
    with pytest.raises(UserErrors, match="^run.yaml:1: run.max_epoch is 0; use 1 or more$"):
        load("run: {runner: toy_runner, max_epoch: 0}", sections=("run",))


def test_mistakes_in_options_name_the_option(load: Load) -> None:
    with pytest.raises(UserErrors, match=r"^--options run.seeed=1: run.seeed is unknown; did you mean 'seed'\?$"):
        load("run: {runner: toy_runner}", "run.seeed=1", sections=("run",))
    with pytest.raises(UserError, match="^--options run.seed: has no value; write run.seed=VALUE$"):
        load("run: {runner: toy_runner}", "run.seed", sections=("run",))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("limit: many", "limit should be whole number or list of whole number, is 'many'"),
        ("sizes: 3", "sizes should be a list, is 3; write it in [ ]"),
        ("sizes: [1, x]", "sizes.1 should be whole number, is 'x'"),
        ("mean: [1, 2, 3]", "mean should have 2 items, has 3: [1, 2, 3]"),
        ("sample_ratio: true", "sample_ratio should be number, is True"),
        ("build_info: here", "build_info should be a mapping, is 'here'"),
        ("encoders: {a: {name: wid}}", "encoders.a.name is 'wid', an unknown toy encoder; did you mean 'wide'?"),
        ("encoders: {train: {}}", "encoders.train.name should name a toy encoder; known: small, wide"),
        ("encoders: {train: {name: wide, widht: 1}}", "encoders.train.widht is unknown; did you mean 'width'?"),
    ],
)
def test_wrong_types_say_what_is_right(load: Load, line: str, sentence: str) -> None:
    with pytest.raises(UserErrors) as caught:
        load(f"datasets:\n  toy_data:\n    {line}\n", sections=("datasets",))
    told = [str(error) for error in caught.value.errors if error.code != "config.placeholder"]
    assert told == [f"run.yaml:3: datasets.toy_data.{sentence}"]


def test_an_original_value_that_never_was_is_told(load: Load) -> None:
    with pytest.raises(UserErrors, match="^run.yaml:1: model.encoder is 'clip'; known: eva$"):
        load("model: {arch: toy, llm: ./llm, encoder: clip}", sections=("model",))
    with pytest.raises(UserErrors, match=r"^run.yaml:1: model.encoder is \['eva'\]; known: eva$"):
        load("model: {arch: toy, llm: ./llm, encoder: [eva]}", sections=("model",))


def test_original_keys_are_named_as_they_were_written(load: Load) -> None:
    with pytest.raises(UserErrors, match="^run.yaml:1: model.image_size should be whole number, is 'big'$"):
        load("model: {arch: toy, llm: ./llm, image_size: big}", sections=("model",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: [", "run.yaml:1: is not valid YAML"),
        ("run: {seed: 1, seed: 2}", "run.yaml:1: is not valid YAML: found duplicate key seed"),
        ("- 1", "run.yaml: has no keys"),
        ("model: 3", "run.yaml:1: model has no keys"),
        ("datasets: [laion]", "run.yaml:1: datasets has no keys"),
        ("imports: [no_such_module_here]", "run.yaml:1: cannot import 'no_such_module_here'"),
        ("run: {runner: toy_runner}", "run.yaml: model.arch names no model arch; known: "),
        ("model: {arch: toy, model_type: tow}", "run.yaml:1: model.model_type is 'tow'; did you mean 'two'?"),
    ],
)
def test_files_that_are_no_configs(load: Load, text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load(text)
    assert str(caught.value).startswith(sentence)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere.yaml: cannot be read .*minigpt4 configs list"):
        load_config(tmp_path / "nowhere.yaml")
