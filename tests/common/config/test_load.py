"""Layers in their order, origins, translation of original keys, and that the resolved config repeats the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt4.common.config import Config, load_config, load_fragment, resolved_yaml
from minigpt4.common.errors import UserError, UserErrors
from tests.common.config.toys import SmallEncoder, ToyDataConfig, WideEncoder

Load = Callable[..., Config]
MODEL = "model: {arch: toy, llm: ./llm}\n"


def test_later_layers_win(load: Load) -> None:
    config = load(MODEL + "run: {runner: toy_runner, init_lr: 1e-4}", "run.init_lr=3e-5", sections=("model", "run"))
    assert config.model.vision == SmallEncoder(size=16)  # packaged YAML over the dataclass's 12
    assert config.run.init_lr == 3e-5
    assert config.run.beta2 == 0.999
    assert config.datasets == {}


def test_numbers_with_exponents_are_numbers(load: Load) -> None:
    config = load("run: {runner: toy_runner, init_lr: 1e-4, warmup_steps: 5e3}", sections=("run",))
    assert config.run.init_lr == 1e-4
    assert config.run.warmup_steps == 5000


def test_options_come_in_pairs_too(load: Load) -> None:
    config = load(MODEL, "model.vision.size", "4", "model.vision.freeze=false", sections=("model",))
    assert (config.model.vision.size, config.model.vision.freeze) == (4, False)


def test_an_option_for_model_type_chooses_the_packaged_yaml(load: Load) -> None:
    """The original changed the value and kept the defaults of the other type (docs/originals/minigpt4.md#faults)."""
    config = load(MODEL, "model.model_type=two", sections=("model",))
    assert config.model.vision == WideEncoder(width=2.0)


def test_a_new_name_starts_the_mapping_anew(load: Load) -> None:
    config = load(MODEL, "model.model_type=two", "model.vision.name=small", sections=("model",))
    assert config.model.vision == SmallEncoder(size=12)


def test_a_part_can_be_taken_out(load: Load) -> None:
    assert load(MODEL, "model.vision=null", sections=("model",)).model.vision is None


def test_texts_on_the_command_line_need_no_quotes(load: Load) -> None:
    config = load(MODEL, "model.template=2023", sections=("model",))
    assert config.model.template == "2023"
    config = load(MODEL, "model.template=", sections=("model",))
    assert config.model.template == ""


@pytest.mark.parametrize(
    "text", ["###Human: {} ###Assistant: ", "###", "[INST] {} [/INST] ", "a #b", "say {} now ", "a: b"]
)
def test_prompts_on_the_command_line_are_taken_as_they_stand(load: Load, text: str) -> None:
    assert load(MODEL, f"model.template={text}", sections=("model",)).model.template == text
    assert load(MODEL, "model.template", text, sections=("model",)).model.template == text


def test_quoted_options_are_read_as_yaml(load: Load) -> None:
    assert load(MODEL, r'model.template="\n"', sections=("model",)).model.template == "\n"
    assert load(MODEL, "model.llm=null", sections=("model",)).model.llm is None


def test_every_value_knows_its_origin(load: Load) -> None:
    config = load("model:\n  arch: toy\n  llm: ./llm\n  image_size: 4\n", "model.template=x", sections=("model",))
    assert config.origin("model.llm") == "run.yaml:3"
    assert config.origin("model.vision.size") == "run.yaml:4"
    assert config.origin("model.template") == "--options model.template=x"
    assert config.origin("model.behaviour") == "default"


def test_original_keys_mean_what_they_meant(load: Load) -> None:
    options = ("model.image_size=4", "model.encoder=eva", "model.freeze_vit=False")
    config = load(MODEL, *options, sections=("model",))
    assert config.model.vision == SmallEncoder(size=4, freeze=False)


def test_original_and_new_key_together_are_a_mistake(load: Load) -> None:
    with pytest.raises(UserErrors, match=r"run.yaml:4: model.image_size is the original's name of model.vision.size, "
                       r"which is given too \(run.yaml:5\); keep one"):
        load("model:\n  arch: toy\n  llm: ./llm\n  image_size: 4\n  vision: {size: 8}\n", sections=("model",))


def test_an_original_key_may_be_overridden_by_the_new_one_in_an_option(load: Load) -> None:
    config = load("model: {arch: toy, llm: ./llm, image_size: 4}", "model.vision.size=2", sections=("model",))
    assert config.model.vision.size == 2


def test_retired_keys_are_accepted_with_one_sentence(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load("run: {runner: toy_runner, world_size: 1, dist_url: env}", sections=("run",))
    assert len(caplog.messages) == 1
    assert "run.world_size (torchrun sets it" in caplog.messages[0]


def test_behaviour_follows_from_the_original_arch(load: Load) -> None:
    assert load(MODEL, sections=("model",)).model.behaviour == "standard"
    assert load(MODEL, "model.arch=old_toy", sections=("model",)).model.behaviour == "original"
    explicit = load(MODEL, "model.arch=old_toy", "model.behaviour=standard", sections=("model",))
    assert explicit.model.behaviour == "standard"


def test_a_builder_may_serve_data_sets_of_other_names(load: Load, tmp_path: Path) -> None:
    (tmp_path / "0.tar").touch()
    config = load("""
        datasets:
          holidays:
            builder: toy_data
            sample_ratio: 2
            build_info: {storage: "0.tar"}
        """, sections=("datasets",))
    assert config.builders == {"holidays": "toy_data"}
    assert isinstance(config.datasets["holidays"], ToyDataConfig)
    assert config.datasets["holidays"].sample_ratio == 2.0


def test_interpolation(load: Load) -> None:
    config = load("run: {runner: toy_runner, seed: 3, num_workers: '${run.seed}'}", sections=("run",))
    assert config.run.num_workers == 3
    with pytest.raises(UserError, match=r"run.yaml:1: run.num_workers cannot be filled in: .*'run.sed' not found"):
        load("run: {runner: toy_runner, num_workers: '${run.sed}'}", sections=("run",))


def test_the_resolved_config_loads_to_the_same(load: Load, write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "0.tar").touch()
    first = load("""
        model: {arch: old_toy, llm: ./llm, vision: {name: wide}}
        datasets:
          holidays: {builder: toy_data, sizes: [1, 2], build_info: {storage: "{0..0}.tar"}}
        run: {runner: toy_runner, init_lr: 1e-5, output_dir: "out"}
        """)
    again = load_config(write(resolved_yaml(first), "again.yaml"))
    assert (again.model, again.datasets, again.run) == (first.model, first.datasets, first.run)
    assert again.builders == first.builders


def test_a_fragment_may_keep_placeholders(write: Callable[..., Path]) -> None:
    config = load_fragment(write("datasets: {toy_data: {}}"))
    assert config.datasets["toy_data"].build_info.storage.startswith("/path/to")
    assert config.model is None and config.run is None
