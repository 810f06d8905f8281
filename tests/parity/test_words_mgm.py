"""Words of MGM (commit 769820c): text, ids and labels of its training and its inference prompts.

Only data is used: templates, tokenizer folders and the original's behaviour as fields. What the original does to a
record before it has words (an image moved to the front of its message, several become one; a first message of the
assistant left out) is done here.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from minigpt4.common.registry import templates
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.pieces import text_of
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.conversation.wording import OriginalEncoding, Wording
from minigpt4.records.batches import IGNORED_LABEL
from tests.parity.test_words_vip_llava import IMAGE, ORIGINAL, conversation, moved_to_front, with_image_ids

NAMES = {"v1": "llava_vicuna_v1", "plain": "llava_plain", "mistral_instruct": "mgm_mistral_instruct",
         "chatml_direct": "llava_chatml_direct", "llama_3": "mgm_llama_3", "gemma": "mgm_gemma"}


@pytest.fixture(scope="module")
def recorded(oracles: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((oracles / "mgm" / "cases" / "templates.json").read_text(encoding="utf-8"))
    return facts


def renderer(oracles: Path, facts: dict[str, Any], original: OriginalEncoding = ORIGINAL) -> Renderer:
    template = templates.get(NAMES[facts["version"]])
    tokenizer = open_tokenizer(oracles / "mgm" / "parts" / facts["tokenizer_dir"], legacy=facts["legacy"],
                               prefer_json=facts["use_fast"])
    return Renderer(Wording(training=template, chat=template, rule=LabelRule(), original=original), tokenizer, 1)


def _turns(case: dict[str, Any]) -> list[tuple[str, str]]:
    turns = [(turn["from"], turn["value"]) for turn in case["conversation"]]
    turns = turns[1:] if turns[0][0] == "gpt" else turns
    return [(role, moved_to_front(text) if role == "human" and case["has_image"] else text) for role, text in turns]


def test_ids_and_labels(oracles: Path, recorded: dict[str, Any]) -> None:
    """Equal, but for records that the original masks whole: there ours learns the answers."""
    table = Counter[str]()
    for group, facts in recorded.items():
        render = renderer(oracles, facts)
        for name, case in facts["cases"].items():
            said = conversation(_turns(case))
            ends_with_user = said.turns[-1].role == "user"
            pieces = render.training.pieces(said, opens_answer=False)
            assert text_of(pieces, IMAGE) == case["text"], (group, name)
            row = render._number(pieces, render.training, None)
            assert with_image_ids(row.ids, row.slots) == case["input_ids"], (group, name)
            if case["supervised"]:
                assert row.labels == case["labels"], (group, name)
                table["equal"] += 1
                continue
            learned = [label for label in row.labels if label != IGNORED_LABEL]
            text = render.tokenizer.decode(learned, skip_specials=False)
            answers = [turn.text for turn in said.turns if turn.role == "assistant"]
            wanted = "".join(answer + render.training.answer_end for answer in answers)
            assert "".join(text.split()) == "".join(wanted.split()), (group, name)
            assert ends_with_user or group == "chatml_direct/yi/legacy_false", (group, name)
            table["masked whole there, learned here"] += 1
    assert table.total() == sum(len(facts["cases"]) for facts in recorded.values())
    print(dict(table))


def test_inference_prompts(oracles: Path, recorded: dict[str, Any]) -> None:
    count = 0
    for group, facts in recorded.items():
        render = renderer(oracles, facts)
        for name, prompt in facts.get("prompts", {}).items():
            asked = conversation([(role, text) for role, text in prompt["messages"] if text is not None])
            assert text_of(render.chat.pieces(asked), IMAGE) == prompt["prompt"], (group, name)
            row = render.render_prompt(asked)
            assert with_image_ids(row.ids, row.slots) == prompt["ids"], (group, name)
            count += 1
    assert count == sum(len(facts.get("prompts", {})) for facts in recorded.values()) > 0
