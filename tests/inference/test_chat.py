"""Conversations: several turns and images, streams without stops or half characters, retry, clear, cancel."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.settings import DecodingSettings
from minigpt4.generation.stops import cut_at_stop, held_back
from minigpt4.inference.chat import Chat
from minigpt4.inference.events import Done, Notice, TextDelta, Usage
from tests import tiny

SETTINGS = DecodingSettings(max_new_tokens=10)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny.model()


def test_the_stream_is_the_answer(loaded: LoadedModel) -> None:
    events = list(Chat(loaded, SETTINGS).ask("what is this", [tiny.image(1)]))
    done = events[-1]
    assert isinstance(done, Done)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == done.text
    assert done.usage.new_tokens == 10 and done.reason == "length"


def test_u18_images_in_any_turn_and_none_at_all(loaded: LoadedModel) -> None:
    chat = Chat(loaded, SETTINGS)
    chat.answer("what is this")
    chat.answer("and this", [tiny.image(1), tiny.image(2)])
    chat.answer("describe", [tiny.image(3)])
    assert len(chat.conversation.images) == 3
    assert len(chat.conversation.turns) == 6


def test_turns_go_on_as_one_conversation_would(loaded: LoadedModel) -> None:
    """Each turn with the cache equals the same turn of a chat that starts with that history."""
    chat = Chat(loaded, SETTINGS)
    chat.answer("what is this", [tiny.image(1)])
    history = chat.conversation
    second = chat.answer("describe")
    fresh = Chat(loaded, SETTINGS)
    fresh.conversation = history
    assert fresh.answer("describe") == second


def test_retry_and_clear(loaded: LoadedModel) -> None:
    chat = Chat(loaded, SETTINGS)
    with pytest.raises(UserError, match="no answer yet"):
        list(chat.retry())
    first = chat.answer("what is this", [tiny.image(1)])
    done = list(chat.retry())[-1]
    assert isinstance(done, Done) and done.text == first
    assert len(chat.conversation.turns) == 2
    chat.clear()
    assert chat.conversation.turns == ()


def test_cancel_ends_the_answer(loaded: LoadedModel) -> None:
    chat = Chat(loaded, DecodingSettings(max_new_tokens=400))
    events = chat.ask("what is this", [tiny.image(1)])
    assert isinstance(next(events), TextDelta)
    chat.cancel()
    done = list(events)[-1]
    assert isinstance(done, Done)
    assert done.reason == "cancelled" and done.usage.new_tokens < 400


def test_an_answer_that_is_stopped_before_it_began_is_not_computed(loaded: LoadedModel) -> None:
    chat, stopped = Chat(loaded, DecodingSettings(max_new_tokens=400)), threading.Event()
    stopped.set()
    assert list(chat.ask("what is this", [tiny.image(1)], cancelled=stopped)) == [Done("cancelled", "", Usage(0, 0, 0))]
    assert isinstance(next(chat.retry()), TextDelta)


def test_beams_give_the_whole_answer_at_the_end(loaded: LoadedModel) -> None:
    events = list(Chat(loaded, DecodingSettings(max_new_tokens=6, num_beams=2)).ask("what", [tiny.image(1)]))
    assert [type(event) for event in events] in ([TextDelta, Done], [Done])


@pytest.mark.parametrize(("text", "images", "sentence"), [
    ("", [], "nothing was asked"),
    ("   ", [], "nothing was asked"),
    ("<ImageHere> what", [], "cannot contain"),
    ("what", ["/no/such/image.png"], "no such image"),
    ("what", [b"<html>"], "not an image"),
    ("what", [3], "is not an image"),
])
def test_bad_questions_are_told_and_change_nothing(loaded: LoadedModel, text: str, images: list[object],
                                                   sentence: str) -> None:
    chat = Chat(loaded, SETTINGS)
    chat.answer("what is this")
    before = chat.conversation
    with pytest.raises(UserError, match=sentence):
        chat.answer(text, images)
    assert chat.conversation == before
    assert chat.answer("and this")


def test_u46_stage_one_weights_are_announced() -> None:
    chat = Chat(tiny.model(template="plain"), SETTINGS)
    events = list(chat.ask("what is this", [tiny.image(1)]))
    assert isinstance(events[0], Notice) and "stage 1" in events[0].text
    assert not any(isinstance(event, Notice) for event in Chat(tiny.model(), SETTINGS).ask("what"))


def test_a_system_text_of_ones_own_and_chinese(loaded: LoadedModel) -> None:
    """Chinese goes in and comes out through template, stream and history."""
    chat = Chat(loaded, SETTINGS, system="你好")
    chat.answer("世界 你好", [tiny.image(1)])
    rendered = loaded.renderer.render_prompt(chat.conversation)
    text = loaded.tokenizer.decode([i for i, slot in zip(rendered.ids, rendered.slots, strict=True) if slot < 0])
    assert text.startswith("你好") and "世界 你好" in text


@pytest.mark.parametrize(("text", "stops", "held"), [
    ("a rose #", ("###",), 1), ("a rose ##", ("###",), 2), ("a rose", ("###",), 0),
    ("x </", ("</s>", "/x"), 2), ("</s", ("</s>",), 3), ("", ("###",), 0),
])
def test_the_beginning_of_a_stop_is_held_back(text: str, stops: tuple[str, ...], held: int) -> None:
    assert held_back(text, stops) == held


def test_text_is_cut_at_the_first_stop() -> None:
    assert cut_at_stop("a rose### Human: more</s>", ("</s>", "###")) == "a rose"
    assert cut_at_stop("a rose", ("###",)) == "a rose"


def test_from_python(tmp_path: Path) -> None:
    """`minigpt4.load(bundle)` chats and describes as the model that wrote it."""
    import minigpt4

    loaded = tiny.model()
    loaded.save_bundle(tmp_path, resolved_config=tiny.as_yaml(loaded.config), stage="test", step=1)
    assistant = minigpt4.load(tmp_path)
    assert assistant.chat(tiny.image(1), "what is this", max_new_tokens=6) == Chat(
        loaded, DecodingSettings(max_new_tokens=6)).answer("what is this", [tiny.image(1)])
    captions = assistant.describe([tiny.image(1), tiny.image(2), tiny.image(3)], batch_size=2, max_new_tokens=6)
    assert captions == [assistant.describe([tiny.image(n)], max_new_tokens=6)[0] for n in (1, 2, 3)]
