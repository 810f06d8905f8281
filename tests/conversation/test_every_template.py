"""What holds for every registered template and every kind of tokenizer, under `standard`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt4.common.registry import templates
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.template import Template
from minigpt4.conversation.tokenizer import Tokenizer, open_tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.datasets.instructions import ImageRecords
from minigpt4.processors.captions import TextProcessorConfig, build_text_processor
from minigpt4.records.batches import IGNORED_LABEL
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests import tiny
from tests.conftest import ORACLES

CHATS_OF_ORIGINALS = {"minigpt4_april_vicuna_chat", "minigpt4_vicuna_chat", "minigpt4_llama2_chat"}
"""only ever used for chat, with the originals' faults"""
NAMES = [name for name in templates.names() if name not in CHATS_OF_ORIGINALS]


def _tokenizer_folders() -> list[str]:
    """Every recorded tokenizer once, by what its files say."""
    found: dict[tuple[bytes, ...], str] = {}
    for config in sorted(ORACLES.rglob("tokenizer_config.json")):
        files = [config, config.parent / "tokenizer.model", config.parent / "tokenizer.json"]
        content = tuple(file.read_bytes() for file in files if file.is_file())
        if len(content) > 1:
            found.setdefault(content, config.parent.relative_to(ORACLES).as_posix())
    return list(found.values())


ORACLE_TOKENIZERS = _tokenizer_folders()


@cache
def tokenizer(folder: Path, prefer_json: bool = False) -> Tokenizer:
    return open_tokenizer(folder, prefer_json=prefer_json)


def renderer(template: Template, words: Tokenizer, tokens_per_image: int | None = None) -> Renderer:
    length = tokens_per_image or (len(words.encode(template.image_run, specials=True)) if template.image_run else 3)
    return Renderer(Wording(training=template, chat=template, rule=LabelRule()), words, length)


def conversation(*texts: str, images: int) -> Conversation:
    turns = tuple(Turn("user" if number % 2 == 0 else "assistant", text) for number, text in enumerate(texts))
    return Conversation(turns, (ImageRef(data=b"x"),) * images)


# --- people's text is text ---


def spellings(words: Tokenizer) -> list[str]:
    """Everything that could be mistaken: names of tokens, marks of images, markers of templates."""
    markers = {text for name in NAMES for text in (
        templates.get(name).user_prefix, templates.get(name).assistant_prefix, templates.get(name).answer_end)}
    return sorted({*list(words.special_tokens)[:40], *markers, "<" * 25 + ">" * 25, "@" * 196, "<image>", "<image_pad>",
                   "<|image_pad|>", "<s>", "</s>", "<|im_end|>", "<|eot_id|>", "<Img>", "\ufdd0", "你好", " a", "\n"})


@pytest.mark.parametrize("json_file", [False, True], ids=["model", "json"])
@pytest.mark.parametrize("folder", ORACLE_TOKENIZERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_text_of_a_person_becomes_a_special_token_or_an_image(oracles: Path, folder: str, json_file: bool,
                                                                  data: st.DataObject) -> None:
    words = tokenizer(oracles / folder, json_file)
    text = st.lists(st.sampled_from(spellings(words)), max_size=4).map("".join)
    name = data.draw(st.sampled_from(NAMES))
    template = templates.get(name)
    render = renderer(template, words)
    question, answer = data.draw(text), data.draw(text)
    said = conversation(f"{IMAGE_MARK}\n{question}", answer, "and?", "end", images=1)
    plain = conversation(f"{IMAGE_MARK}\na", "b", "and?", "end", images=1)
    row, expected = render.render(said), render.render(plain)
    special = set(words.special_tokens.values())
    found, wanted = (
        [number for number, slot in zip(each.ids, each.slots, strict=True) if number in special and slot < 0]
        for each in (row, expected)
    )
    assert found == wanted, (name, question, answer)
    assert row.image_lengths == expected.image_lengths
    assert [slot for slot in row.slots if slot >= 0] == [slot for slot in expected.slots if slot >= 0]
    assert all(0 <= number < words.vocab_size for number in row.ids)


@pytest.mark.parametrize("folder", ["minimind_v/B/parts/tokenizer_released"])
def test_thoughts_stay_readable(oracles: Path, folder: str) -> None:
    """Added tokens that are not special are tokens everywhere, and text again when decoded."""
    words = tokenizer(oracles / folder)
    ids = words.encode("<think>\nhm\n</think>\n\nyes", specials=False)
    assert {25, 26} <= set(ids) and words.decode(ids) == "<think>\nhm\n</think>\n\nyes"


# --- training asks as chat does ---

FORMS = ("{image}\n{text}", "{image} {text}", "{image}{text}", "{text}\n{image}", "{text} {image}", "{text}{image}",
         "What {image} is\nthis {text}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["", "vip_llava/parts/tokenizers/llama_nonlegacy",
                                    "vip_llava/parts/tokenizers/llama_legacy"])
def test_training_ids_are_chat_ids(oracles: Path, name: str, folder: str) -> None:
    """Whatever stands between image and words in the data; the ids before each answer are those that chat asks with."""
    words = tokenizer(oracles / folder if folder else tiny.tokenizer_folder())
    render = renderer(templates.get(name), words)
    for form in FORMS:
        question = form.format(image=IMAGE_MARK, text="Which colour has it?")
        whole = conversation(question, "a red rose", f"{IMAGE_MARK}\nand this?", "a table", images=2)
        trained = render.render(whole)
        for turns, images in ((1, 1), (3, 2)):
            asked = render.render_prompt(conversation(*(turn.text for turn in whole.turns[:turns]), images=images))
            assert trained.ids[: len(asked.ids)] == asked.ids, form
            assert trained.slots[: len(asked.ids)] == asked.slots
            if turns == 3:
                assert trained.labels[len(asked.ids)] != IGNORED_LABEL


@pytest.mark.parametrize("name", NAMES)
def test_data_as_the_page_says_are_asked_as_chat_asks(name: str, tmp_path: Path) -> None:
    """docs/own_data.md: `<image>` and a newline, a blank, or nothing, then the question; or no mark at all."""
    render = renderer(templates.get(name), tokenizer(tiny.tokenizer_folder()))
    read = ImageRecords(tmp_path, build_text_processor(TextProcessorConfig()))
    turns = render.chat.question("Which colour has it?", 1)
    asked = render.render_prompt(Conversation(turns, (ImageRef(data=b"x"),)))
    for written in ("<image>\nWhich colour has it?", "<image> Which colour has it?", "<image>Which colour has it?",
                    "Which colour has it?"):
        record = {"image": "a.png", "conversations": [{"from": "human", "value": written},
                                                      {"from": "gpt", "value": "Red."}]}
        trained = render.render(read(record))
        if render.chat.own_turn_per_image:  # a turn of its own in chat alone
            continue
        assert trained.ids[: len(asked.ids)] == asked.ids, written


def test_every_template_says_what_ends_an_answer() -> None:
    assert [name for name in templates.names() if not templates.get(name).stops] == []


# --- the bound on the row ---


def bounded(limit: int | None, learn: str = "all") -> Renderer:
    template = templates.get("vicuna_v0")
    rule = LabelRule(max_positions=limit, learn=learn)  # type: ignore[arg-type]
    return Renderer(Wording(training=template, chat=template, rule=rule), tokenizer(tiny.tokenizer_folder()), 4)


SAID = ("what", "a rose", f"{IMAGE_MARK} and {IMAGE_MARK}?", "a table and a rose")


def test_a_row_is_never_cut_inside_an_image() -> None:
    whole = bounded(None).render(conversation(*SAID, images=2))
    for limit in range(1, len(whole.ids) + 3):
        row = bounded(limit).render(conversation(*SAID, images=2))
        assert len(row.ids) <= limit
        assert row.ids == whole.ids[: len(row.ids)] and row.labels == whole.labels[: len(row.ids)]
        shown = [slot for slot in row.slots if slot >= 0]
        assert len(shown) % 4 == 0 and row.image_lengths == (4,) * (len(shown) // 4)
        if len(row.ids) < min(limit, len(whole.ids)):
            assert whole.slots[len(row.ids)] >= 0, "only an image that does not fit leaves room"


def test_which_answers_are_learned() -> None:
    words = tokenizer(tiny.tokenizer_folder())

    def learned(learn: str) -> str:
        row = bounded(None, learn).render(conversation(*SAID, images=2))
        return words.decode([label for label in row.labels if label != IGNORED_LABEL])

    assert learned("all") == "a rose###a table and a rose###"
    assert learned("last") == "a table and a rose###"
    assert learned("first_pair") == "a rose###"
    assert bounded(None, "first_pair").render(conversation(*SAID, images=2)).image_lengths == ()
