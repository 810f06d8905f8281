"""Words of ViP-LLaVA (commit 77079b1): prompts of all its templates, ids and labels of its training.

Only data is used: templates, tokenizer folders and the original's behaviour as fields. What the original does to a
record before it has words (`preprocess_multimodal`: `<image>` moved to the front of its message, several become one; a
first message of the assistant is left out) is done here.
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
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef

IMAGE = "<image>"
IMAGE_ID = -200
NAMES = {
    "default": "llava_v0", "v0": "llava_v0", "llava_v0": "llava_v0", "v0_mmtag": "llava_v0_mmtag",
    "v1": "llava_vicuna_v1", "vicuna_v1": "llava_vicuna_v1", "llava_v1": "llava_v1", "v1_mmtag": "llava_v1_mmtag",
    "llama_2": "llava_llama_2_chat", "llava_llama_2": "llava_llama_2", "mistral_instruct": "llava_mistral_instruct",
    "chatml_direct": "llava_chatml_direct", "mistral_direct": "llava_chatml_direct", "mpt": "llava_mpt",
    "llava_llama_3": "llava_llama_3", "llava_phi_3": "llava_phi_3", "plain": "llava_plain_chat",
    "v0_plain": "llava_plain_chat",
}
"""the original's name -> ours, for prompts; training in `plain` ignores questions and is `llava_plain`"""
ORIGINAL = OriginalEncoding(specials_in_text=True, bos_twice=True, later_pieces_lose_first_id=True,
                            empty_answers_are_open=True)
MASKED_BY_MISTAKE = ("wholly_masked", "labels differ")


@pytest.fixture(scope="module")
def folder(oracles: Path) -> Path:
    return oracles / "vip_llava"


def moved_to_front(text: str) -> str:
    return f"{IMAGE}\n{text.replace(IMAGE, '').strip()}".strip() if IMAGE in text else text


def conversation(turns: list[tuple[str, str]]) -> Conversation:
    """Images of user turns only; `<image>` in an answer stays a word."""
    read = [Turn("user", text.replace(IMAGE, IMAGE_MARK)) if role in ("human", "u") else Turn("assistant", text)
            for role, text in turns]
    marks = sum(turn.text.count(IMAGE_MARK) for turn in read)
    return Conversation(tuple(read), (ImageRef(data=b"x"),) * marks)


def renderer(template: str, tokenizer: Path, original: OriginalEncoding) -> Renderer:
    chosen = templates.get(template)
    wording = Wording(training=chosen, chat=chosen, rule=LabelRule(), original=original)
    return Renderer(wording, open_tokenizer(tokenizer), 1)


def with_image_ids(ids: list[int], slots: list[int]) -> list[int]:
    return [IMAGE_ID if slot >= 0 else number for number, slot in zip(ids, slots, strict=True)]


# --- (b) prompts ---


def _history(turns: list[list[Any]], ours: str) -> tuple[Conversation, bool] | None:
    """A recorded history and whether an answer is opened; images count only where they came as an image (a tuple)."""
    opens = turns[-1][0] == "a" and turns[-1][1] is None
    said = turns[:-1] if opens else turns
    template = templates.get(ours)
    read: list[Turn] = []
    images = 0
    for role, text in said:
        if isinstance(text, dict):
            images += 1
            read += template.question(text["tuple_text"].replace(IMAGE, "").strip(), 1)
        else:
            read.append(Turn("user" if role == "u" else "assistant", text))
    return Conversation(tuple(read), (ImageRef(data=b"x"),) * images), opens


def test_prompts_of_every_template_and_history(folder: Path) -> None:
    recorded = json.loads((folder / "templates" / "templates.json").read_text(encoding="utf-8"))
    assert set(recorded["templates"]) == set(NAMES)
    outcomes = Counter[str]()
    for name, facts in recorded["templates"].items():
        for history, expected in facts["prompts"].items():
            if isinstance(expected, dict):  # the original raises: an answer in a template that has no end for it
                assert name in ("plain", "v0_plain") and "raises" in expected
                outcomes["raises"] += 1
                continue
            asked, opens = _history(recorded["histories"][history], NAMES[name])
            text = text_of(templates.get(NAMES[name]).pieces(asked, opens_answer=opens), IMAGE)
            assert text == expected, (name, history)
            outcomes["equal"] += 1
    assert outcomes.total() == sum(len(facts["prompts"]) for facts in recorded["templates"].values())
    print(dict(outcomes))


# --- (a) ids and labels ---


def _record(case: dict[str, Any]) -> Conversation:
    turns = [(turn["from"], turn["value"]) for turn in case["conversation"]]
    turns = turns[1:] if turns[0][0] == "gpt" else turns
    if case["has_image"]:
        turns = [(role, moved_to_front(text) if role == "human" else text) for role, text in turns]
    return conversation(turns)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "labels").glob("*.json") if path.stem != "index")


def test_ids_and_labels(folder: Path) -> None:
    """Every case marked `ok`: the same ids and labels under the original's behaviour."""
    outcomes = json.loads((folder / "labels" / "index.json").read_text())["outcome"]
    table = Counter[tuple[str, str]]()
    for path in _files(folder):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        template = "llava_plain" if recorded["template"] == "plain" else NAMES[recorded["template"]]
        render = renderer(template, folder / "parts" / "tokenizers" / recorded["tokenizer"], ORIGINAL)
        for name, case in recorded["cases"].items():
            outcome = outcomes[path.stem][name]
            table[path.stem, "ok" if outcome == "ok" else outcome.split(" ")[0]] += 1
            if outcome != "ok":
                continue
            row = render.render(_record(case))
            assert with_image_ids(row.ids, row.slots) == case["input_ids"], (path.stem, name)
            assert row.labels == case["labels"], (path.stem, name)
    assert sum(table.values()) == sum(map(len, outcomes.values()))
    print({f"{stem}: {outcome}": number for (stem, outcome), number in sorted(table.items())})


CONTESTED = ("image_word_in_answer", "question_only", "two_human_in_a_row", "long_text_over_limit", "long_over_limit")
"""records that are not conversations, or that only a limit makes wrong"""


def test_what_the_original_masks_by_mistake_is_learned(folder: Path) -> None:
    """The answers and their ends, nothing else, whatever the original's own count of lengths made of the record."""
    outcomes = json.loads((folder / "labels" / "index.json").read_text())["outcome"]
    checked = 0
    for path in _files(folder):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        template = "llava_plain" if recorded["template"] == "plain" else NAMES[recorded["template"]]
        render = renderer(template, folder / "parts" / "tokenizers" / recorded["tokenizer"], OriginalEncoding())
        for name, case in recorded["cases"].items():
            wrong = outcomes[path.stem][name].startswith(MASKED_BY_MISTAKE)
            if not wrong or name in CONTESTED or name.startswith("empty_answer"):
                continue
            row = render.render(_record(case))
            learned = [label for label in row.labels if label != IGNORED_LABEL]
            text = render.tokenizer.decode(learned, skip_specials=False)
            answers = [turn.text for turn in _record(case).turns if turn.role == "assistant"]
            end = render.training.answer_end
            wanted = "".join(f"{render.training.answer_prefix}{answer}{end}" for answer in answers)
            assert "".join(text.split()) == "".join(wanted.split()), (path.stem, name)
            checked += 1
    assert checked > 40
