"""Words of MiniMind-V, October 2024 (A, commit 606d588) and June 2026 (B, commit 9595617): ids, labels, prompts.

Only data is used: templates, tokenizer folders and label rules.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from minigpt4.common.registry import templates
from minigpt4.conversation.labels import LabelRule, Learn
from minigpt4.conversation.pieces import text_of
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.conversation.wording import OriginalEncoding, Wording
from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef

IMAGE = "<image>"
LEARNS: dict[str, Learn] = {"pretrain": "last", "sft": "first_pair"}
ORIGINAL = OriginalEncoding(specials_in_text=True, joint_as_written=True)


def case_of(oracles: Path, system: str) -> dict[str, Any]:
    file = oracles / "minimind_v" / system / "cases" / "tokenize_and_mask.json"
    facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return facts


def renderer(oracles: Path, system: str, template: str, rule: LabelRule, length: int) -> Renderer:
    chosen = templates.get(template)
    folder = oracles / "minimind_v" / system / case_of(oracles, system)["tokenizer"]
    return Renderer(Wording(training=chosen, chat=chosen, rule=rule, original=ORIGINAL), open_tokenizer(folder), length)


def conversation(turns: list[dict[str, str]]) -> Conversation:
    system = next((turn["content"] for turn in turns if turn.get("role") == "system"), None)
    read = []
    for turn in turns:
        role, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content", ""))
        if role != "system":
            read.append(Turn("user" if role in ("human", "user") else "assistant", text.replace(IMAGE, IMAGE_MARK)))
    marks = sum(turn.text.count(IMAGE_MARK) for turn in read)
    return Conversation(tuple(read), (ImageRef(data=b"x"),) * marks, system)


@pytest.mark.parametrize("system", ["A", "B"])
def test_texts(oracles: Path, system: str) -> None:
    """Ids and texts of strings, special tokens recognised as the original does; `<think>` stays readable."""
    facts = case_of(oracles, system)
    tokenizer = open_tokenizer(oracles / "minimind_v" / system / facts["tokenizer"])
    for text, expected in facts["encode"].items():
        ids = tokenizer.encode(text, specials=True)
        assert ids == expected["ids"], text
        assert tokenizer.decode(ids, skip_specials=False) == expected["decoded"]
        if "decoded_skip_special" in expected:
            assert tokenizer.decode(ids) == expected["decoded_skip_special"]


def _as_recorded(row: Rendered, length: int) -> tuple[list[int], list[int], list[int]]:
    """X, Y and loss mask of A: shifted by one, padded with 0."""
    ids = row.ids + [0] * (length - len(row.ids))
    mask = [int(label != IGNORED_LABEL) for label in row.labels] + [0] * (length - len(row.labels))
    return ids[:-1], ids[1:], mask[1:]


def _without_odd_question(sample: dict[str, Any]) -> list[dict[str, str]]:
    """The original drops a question that has no answer."""
    turns: list[dict[str, str]] = sample["conversations"]
    return turns[: len(turns) // 2 * 2]


def test_a_samples(oracles: Path) -> None:
    """Equal where the row holds prompt and image whole; the rest is told: what the original does, and ours."""
    table = Counter[str]()
    told: dict[str, str] = {}
    for sample in case_of(oracles, "A")["samples"]:
        rule = LabelRule(learn=LEARNS[sample["stage"]], max_positions=sample["max_length"])
        render = renderer(oracles, "A", "minimind_2024", rule, 50)
        said = conversation(_without_odd_question(sample))
        row = render.render(said)
        name = f"{sample['name']}/{sample['stage']}"
        if "error" in sample:
            assert said.turns[-1].text == "" and sample["name"] == "empty_answer"
            assert [each for each in row.labels if each != IGNORED_LABEL] == render.tokenizer.encode("\n</s>\n",
                                                                                                      specials=True)
            told[name] = f"raises {sample['error']} there; here the end alone is learned"
            continue
        ours = _as_recorded(row, sample["max_length"])
        theirs = (sample["X"], sample["Y"], sample["loss_mask"])
        if sample["name"] == "question_cut_no_assistant_marker":
            assert ours[:2] == theirs[:2] and not any(ours[2]) and any(theirs[2])
            told[name] = "the cut takes the answer away: question and placeholders are learned there, nothing here"
        elif sample["name"] == "space_before_image":
            assert 3386 in theirs[0] and 3386 not in ours[0] and row.num_images == 1
            told[name] = "a blank and '<' become one token there, so the image is lost; here it keeps its place"
        elif sample["name"] == "two_turns" and sample["stage"] == "pretrain":
            assert ours[:2] == theirs[:2] and not any(ours[2])
            told[name] = "the cut takes the last answer away: later questions are learned there, nothing here"
        else:
            assert ours == theirs, name
            table["equal"] += 1
    assert table.total() + len(told) == len(case_of(oracles, "A")["samples"])
    print(dict(table), told)


def test_b_samples(oracles: Path) -> None:
    facts = case_of(oracles, "B")
    for sample in facts["samples"]:
        thoughts = sample["empty_think_removed"]
        template = "minimind_2026_without_thoughts" if thoughts else "minimind_2026"
        rule = LabelRule(max_positions=sample["max_length"])
        render = renderer(oracles, "B", template, rule, facts["image_token_len"])
        row = render.render(conversation(sample["conversations"]))
        padding = sample["max_length"] - len(row.ids)
        name = f"{sample['name']}/{thoughts}"
        assert row.ids + [0] * padding == sample["input_ids"], name
        assert row.labels + [IGNORED_LABEL] * padding == sample["labels"], name
    assert len(facts["samples"]) > 10


def test_b_prompts(oracles: Path) -> None:
    """The template's texts; a system message in the middle is written by the tokenizer's own template alone."""
    for case in case_of(oracles, "B")["templates"]:
        messages, options = case["messages"], case["options"]
        if any(message["role"] == "system" for message in messages[1:]):
            continue
        said = conversation(messages)
        opens = options["add_generation_prompt"]
        template = templates.get("minimind_2026_thinking" if options.get("open_thinking") else "minimind_2026")
        text = text_of(template.pieces(said, opens_answer=opens), IMAGE)
        if opens and said.turns[-1].role == "assistant":  # an answer after an answer: no turn of a conversation
            text += template.opened
        assert text == case["text"]
