"""The four templates of version 0.1.0, and MiniGPT-4's own behaviours, give the ids they gave at commit 32b73a3.

`fixtures/words` holds two tokenizers, conversations, settings and what that commit made of every combination: ids,
labels and slots of training, ids and slots of the prompt before the last answer. Three tokens an image, prompt draw 1.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from minigpt4.systems.minigpt4.config import MiniGPT4Config
from minigpt4.systems.minigpt4.wording import behaviour_of, wording_of
from tests import tiny

FOLDER = Path(__file__).parent.parent / "fixtures" / "words"
CONVERSATIONS = json.loads((FOLDER / "conversations.json").read_text(encoding="utf-8"))
SETTINGS = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))
TOKENS_PER_IMAGE = 3


def renderer_of(config: MiniGPT4Config) -> Renderer:
    tokenizer = open_tokenizer(config.llm.tokenizer_folder(), legacy=behaviour_of(config).legacy_tokenizer)
    return Renderer(wording_of(config, tokenizer), tokenizer, TOKENS_PER_IMAGE)


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, list[list[int]]]]:
    return json.loads(lzma.decompress((FOLDER / "ids.json.xz").read_bytes()))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("tokenizer", ["bpe", "sentencepiece"])
def test_ids_are_what_they_were(recorded: dict[str, dict[str, list[list[int]]]], tokenizer: str, setting: str) -> None:
    values = dict(SETTINGS[setting])
    prompts = str(FOLDER / "prompts.txt") if values.pop("prompts", False) else None
    config = tiny.config(**values, prompt_path=prompts)
    config = replace(config, llm=replace(config.llm, tokenizer=str(FOLDER / tokenizer)))
    renderer = renderer_of(config)
    for name, turns in CONVERSATIONS.items():
        for system in (None, "Be brief."):
            expected = recorded[f"{tokenizer}/{setting}/{name}/{'system' if system else 'none'}"]
            images = sum(text.count(IMAGE_MARK) for _, text in turns)
            whole = Conversation(tuple(Turn(*turn) for turn in turns), (ImageRef(data=b"x"),) * images, system)
            trained = renderer.render(whole, 1)
            assert [trained.ids, trained.labels, trained.slots] == expected["train"], name
            if "chat" in expected:
                asked = renderer.render_prompt(replace(whole, turns=whole.turns[:-1]))
                assert [asked.ids, asked.slots] == expected["chat"], name
