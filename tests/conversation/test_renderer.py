"""Training ids equal chat ids, end symbols survive, labels by position; for every `standard` template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt4.common.errors import UserError
from minigpt4.common.registry import templates
from minigpt4.conversation.batching import pad
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.templates.standard import STANDARD_TEMPLATES
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.datasets.instructions import ImageRecords
from minigpt4.processors.captions import TextProcessorConfig, build_text_processor
from minigpt4.records.batches import IGNORED_LABEL
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests import tiny

NAMES = [template.name for template in STANDARD_TEMPLATES]
WORDS = st.text(alphabet="abc #</s>你好", max_size=30)


def renderer(name: str, *, limit: int = 64, prompts: tuple[str, ...] = (), end_survives: bool = True) -> Renderer:
    template = templates.get(name)
    rule = LabelRule(max_answer_tokens=limit, end_survives=end_survives)
    wording = Wording(training=template, chat=template, rule=rule, prompts=prompts)
    return Renderer(wording, open_tokenizer(tiny.tokenizer_folder()), 3)


def conversation(*texts: str) -> Conversation:
    """user, assistant, user, …; images where the texts have marks."""
    turns = tuple(Turn("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(texts))
    number = sum(text.count(IMAGE_MARK) for text in texts)
    return Conversation(turns, tuple(ImageRef(data=b"x") for _ in range(number)))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(question=WORDS, answer=WORDS, again=WORDS, second=WORDS)
def test_what_is_trained_is_what_is_asked(name: str, question: str, answer: str, again: str, second: str) -> None:
    """The ids before each answer are the ids with which chat asks for it (also with specials in people's words)."""
    render = renderer(name)
    whole = conversation(f"{IMAGE_MARK} {question}", answer, again, second)
    trained = render.render(whole)
    for turns in (1, 3):
        asked = render.render_prompt(Conversation(whole.turns[:turns], whole.images))
        assert trained.ids[: len(asked.ids)] == asked.ids
        assert trained.slots[: len(asked.slots)] == asked.slots
        assert trained.labels[len(asked.ids)] == trained.ids[len(asked.ids)], "the answer begins where the prompt ends"


@pytest.mark.parametrize("name", NAMES)
def test_only_answers_are_learned(name: str) -> None:
    render = renderer(name)
    rendered = render.render(conversation(f"{IMAGE_MARK} what is this", "a red rose", "and this", "the table"))
    learned = [label for label in rendered.labels if label != IGNORED_LABEL]
    end = render.training.answer_end
    text = render.tokenizer.decode(learned, skip_specials=False)
    assert text == f"a red rose{end}the table{end}"
    assert rendered.labels[: len(rendered.ids) - 1].count(IGNORED_LABEL) + len(learned) in (
        len(rendered.ids), len(rendered.ids) - 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [2, 5, 9])
def test_the_end_symbol_survives_truncation(name: str, limit: int) -> None:
    render = renderer(name, limit=limit)
    answer = "a red rose on the table " * 4
    rendered = render.render(conversation(f"{IMAGE_MARK} what", answer))
    learned = [label for label in rendered.labels if label != IGNORED_LABEL]
    assert len(learned) == limit
    text = render.tokenizer.decode(learned, skip_specials=False)
    assert text.endswith(render.training.answer_end) or limit < len(render.training.answer_end)


def test_an_original_loses_the_end_symbol() -> None:
    render = renderer("vicuna_v0", limit=5, end_survives=False)
    rendered = render.render(conversation(f"{IMAGE_MARK} what", "a red rose on the table " * 4))
    learned = [label for label in rendered.labels if label != IGNORED_LABEL]
    assert "#" not in render.tokenizer.decode(learned)


def test_nothing_of_a_caption_is_masked_by_accident() -> None:
    """A caption may name a special token or repeat the pad id; labels follow from positions alone."""
    render = renderer("vicuna_v1")
    caption = "no </s> here and <s> neither"
    rendered = render.render(conversation(f"{IMAGE_MARK} what", caption))
    learned = [label for label in rendered.labels if label != IGNORED_LABEL]
    assert render.tokenizer.decode(learned, skip_specials=False) == caption + "</s>"
    assert learned.count(render.tokenizer.special_tokens["</s>"]) == 1


def test_a_prompt_stands_in_where_nothing_is_asked() -> None:
    prompts = (f"<Img>{IMAGE_MARK}</Img> Describe this.", f"<Img>{IMAGE_MARK}</Img> What is this?")
    render = renderer("vicuna_v0", prompts=prompts)
    silent = conversation(IMAGE_MARK, "a rose")
    drawn = {tuple(render.render(silent, draw).ids) for draw in range(6)}
    assert len(drawn) == len(prompts)
    for draw, question in ((0, "Describe this."), (1, "What is this?")):
        assert render.render(silent, draw).ids == render.render(conversation(f"{IMAGE_MARK} {question}", "a rose")).ids
    asked = conversation(f"{IMAGE_MARK} why", "a rose")
    assert render.render(asked, 0).ids == render.render(asked, 1).ids


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(min_value=0, max_value=6), max_size=4), side=st.sampled_from(["left", "right"]))
def test_padding_keeps_rows_and_shifts_slots(lengths: list[int], side: str) -> None:
    render = renderer("vicuna_v0")
    rows = [render.render(conversation(" ".join([IMAGE_MARK] * (n % 3) + ["what"]), "rose " * n)) for n in lengths]
    batch = pad(rows, pad_token_id=7, side=side)  # type: ignore[arg-type]
    images = 0
    for number, row in enumerate(rows):
        real = batch.attention_mask[number].bool()
        assert batch.input_ids[number][real].tolist() == row.ids
        assert batch.labels[number][real].tolist() == row.labels
        expected = [slot + 3 * images if slot >= 0 else -1 for slot in row.slots]
        assert batch.slots[number][real].tolist() == expected
        assert set(batch.labels[number][~real].tolist()) <= {IGNORED_LABEL}
        images += row.num_images


def test_an_image_mark_in_an_answer_is_a_word() -> None:
    """A model may say one; data that hold one are refused, as it would be learned."""
    said = Conversation((Turn("user", "what?"), Turn("assistant", f"{IMAGE_MARK} here"), Turn("user", "and?")))
    loaded = tiny.model()
    assert loaded.renderer.render_prompt(said).image_lengths == ()
    record = {"image": "rose.png", "conversations": [{"from": "human", "value": "what?"},
                                                     {"from": "gpt", "value": "<image> here"}]}
    with pytest.raises(UserError, match="an answer contains <image>"):
        ImageRecords(Path(), build_text_processor(TextProcessorConfig()))(record)


def test_a_prompt_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pieces are remembered, answers and long texts are not, and ids are those of a fresh renderer."""
    render = renderer("vicuna_v1", prompts=(f"{IMAGE_MARK} Describe.",))
    first = render.render(conversation(IMAGE_MARK, "a b"))
    encoded: list[str] = []
    original = render.tokenizer.encode_spans

    def listened(spans: Any, **how: Any) -> Any:
        encoded.append("".join(span.text for span in spans))
        return original(spans, **how)

    monkeypatch.setattr(render.tokenizer, "encode_spans", listened)
    assert render.render(conversation(IMAGE_MARK, "a b")) == first
    assert encoded and not any("Describe." in text and "a b" not in text for text in encoded)
    again = render.render(conversation(f"{IMAGE_MARK} " + "a" * 2000, "b"))
    assert again == renderer("vicuna_v1", prompts=(f"{IMAGE_MARK} Describe.",)).render(
        conversation(f"{IMAGE_MARK} " + "a" * 2000, "b"))
    assert len(render._asked) <= 3
