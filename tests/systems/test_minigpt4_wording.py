"""From keys of a YAML to templates, prompts and label rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.systems.minigpt4.chats import APRIL_VICUNA_CHAT, LLAMA2_CHAT, NEWEST_VICUNA_CHAT
from minigpt4.systems.minigpt4.config import MiniGPT4Config
from minigpt4.systems.minigpt4.wording import behaviour_of, known_template, read_prompts, wording_of
from tests import tiny


def words(config: MiniGPT4Config) -> Wording:
    return wording_of(config, open_tokenizer(config.llm.tokenizer_folder()))


VICUNA, LLAMA2 = "###Human: {} ###Assistant: ", "[INST] {} [/INST] "


@pytest.mark.parametrize(("arch", "model_type", "behaviour"), [
    ("mini_gpt4", "pretrain_vicuna", "original_april2023"),
    ("mini_gpt4", "pretrain_vicuna0", "original_aug2023"),
    ("mini_gpt4", "pretrain_llama2", "original_aug2023"),
    ("minigpt4", "pretrain_vicuna0", "original_newest"),
    ("minigpt4", "custom", "standard"),
])
def test_a_yaml_of_an_original_means_its_own_version(arch: str, model_type: str, behaviour: str) -> None:
    assert behaviour_of(MiniGPT4Config(arch=arch, model_type=model_type)).name == behaviour
    standard = MiniGPT4Config(arch=arch, model_type=model_type, behaviour="standard")
    assert behaviour_of(standard).name == "standard"


@pytest.mark.parametrize(("prompt_template", "end_sym", "name"), [
    (VICUNA, "###", "vicuna_v0"), (LLAMA2, "</s>", "llama2"), (VICUNA, "</s>", "prompt_template"),
    ("Q: {} A: ", "\n", "prompt_template"),
])
def test_a_known_prompt_template_brings_its_later_turns(prompt_template: str, end_sym: str, name: str) -> None:
    assert known_template(prompt_template, end_sym).name == name


@pytest.mark.parametrize(("behaviour", "prompt_template", "chat"), [
    ("original_april2023", VICUNA, APRIL_VICUNA_CHAT), ("original_newest", VICUNA, NEWEST_VICUNA_CHAT),
    ("original_newest", LLAMA2, LLAMA2_CHAT), ("original_aug2023", LLAMA2, LLAMA2_CHAT),
])
def test_an_original_chats_by_its_own_template(behaviour: str, prompt_template: str, chat: object) -> None:
    config = tiny.config(behaviour=behaviour, template=None, prompt_template=prompt_template)
    assert words(config).chat is chat


def test_april_had_no_llama2() -> None:
    config = tiny.config(behaviour="original_april2023", template=None, prompt_template=LLAMA2)
    with pytest.raises(UserError, match="had no chat for llama2"):
        words(config)


def test_standard_chats_as_it_trains() -> None:
    standard = words(tiny.config())
    assert standard.chat is standard.training


def test_prompts_are_lines_with_an_image_mark(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("<Img><ImageHere></Img> Describe.\n\nno mark here\n<ImageHere> What?\n", encoding="utf-8")
    assert len(read_prompts(str(path))) == 2
    path.write_text("Describe.\n", encoding="utf-8")
    with pytest.raises(UserError, match="none of its 1 lines contains <ImageHere>"):
        read_prompts(str(path))
    path.write_text("<ImageHere><ImageHere> Compare.\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"prompts.txt:1: contains <ImageHere> more than once"):
        read_prompts(str(path))
