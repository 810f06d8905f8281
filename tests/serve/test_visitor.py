"""A visitor's conversation without a browser: growing answers, stop, retry, clear, and sentences for mistakes."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from minigpt4.serve.handlers import Example, in_language
from minigpt4.serve.knobs import Knobs
from minigpt4.serve.limits import Limits
from minigpt4.serve.messages import Measure, Message, Question, View
from minigpt4.serve.shown import measured
from minigpt4.serve.transcript import as_json, as_markdown
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.visitor import Visitor
from minigpt4.serve.wording import CHINESE, ENGLISH, WORDINGS
from tests import tiny

SHORT = Knobs(max_new_tokens=12)


@pytest.fixture
def visitor() -> Visitor:
    return Visitor(tiny.model())


@pytest.fixture
def image(tmp_path: Path) -> str:
    tiny.image(1).save(tmp_path / "rose.png")
    return str(tmp_path / "rose.png")


def asked(visitor: Visitor, text: str, *files: str, words: object = ENGLISH) -> list[View]:
    return list(visitor.ask(text, list(files), SHORT, words))  # type: ignore[arg-type]


def test_the_question_shows_at_once_and_the_answer_grows(visitor: Visitor, image: str) -> None:
    views = asked(visitor, "what is this", image)
    question = (Message("user", file=image), Message("user", "what is this"))
    assert views[0].messages == question
    answers = [view.messages[-1].text for view in views[1:]]
    assert all(later.startswith(earlier) for earlier, later in zip(answers, answers[1:], strict=False))
    assert answers[-1].endswith("[…]") and views[-1].notice == ENGLISH.cut_off


def test_several_turns_stay_and_retry_answers_the_last_again(visitor: Visitor, image: str) -> None:
    asked(visitor, "what is this", image)
    last = asked(visitor, "what is red")[-1].messages
    assert [message.role for message in last] == ["user", "user", "assistant", "user", "assistant"]
    again = list(visitor.retry(SHORT, ENGLISH))[-1].messages
    assert again == last


def test_stop_keeps_what_was_said_and_the_next_question_works(visitor: Visitor, image: str) -> None:
    views = []
    for view in visitor.ask("what is this", [image], Knobs(max_new_tokens=300), ENGLISH):
        views.append(view)
        if len(views) == 3:
            visitor.stop()
    assert views[-1].notice == ENGLISH.stopped and views[-1].messages[-1].text
    visitor.begin()
    assert asked(visitor, "what is red")[-1].notice == ENGLISH.cut_off


def test_stop_while_the_question_waits_for_others_is_not_forgotten(visitor: Visitor, image: str) -> None:
    visitor.begin()
    visitor.stop()
    assert asked(visitor, "what is this", image)[-1].notice == ENGLISH.stopped
    visitor.begin()
    assert list(visitor.retry(SHORT, ENGLISH))[-1].notice == ENGLISH.cut_off


def test_clear_begins_anew(visitor: Visitor, image: str) -> None:
    asked(visitor, "what is this", image)
    assert visitor.clear().messages == ()
    assert len(asked(visitor, "what is red")[-1].messages) == 2


def test_an_answer_that_was_cleared_meanwhile_shows_nothing_of_it(visitor: Visitor, image: str) -> None:
    views = []
    for view in visitor.ask("what is this", [image], Knobs(max_new_tokens=300), ENGLISH):
        views.append(view)
        if len(views) == 3:
            visitor.clear()
    assert views[-1].messages == () and visitor.messages == []
    assert not asked(visitor, "what is red")[-1].refused


def test_a_question_that_waited_while_the_page_was_cleared_is_forgotten(visitor: Visitor, image: str) -> None:
    with visitor.line.place("somebody else", threading.Event()):
        views = visitor.ask("what is this", [image], SHORT, ENGLISH)
        assert next(views).messages
        visitor.clear()
        assert [view.messages for view in views] == [()]
    assert visitor.messages == [] and visitor.chat.conversation.turns == ()


def test_stop_ends_a_question_that_waits_in_the_line(visitor: Visitor) -> None:
    with visitor.line.place("somebody else", threading.Event()):
        views = visitor.ask("what is this", [], SHORT, ENGLISH)
        next(views)
        visitor.stop()
        assert list(views)[-1].notice == ENGLISH.stopped


def test_u16_mistakes_are_sentences_and_change_nothing(visitor: Visitor, image: str, tmp_path: Path) -> None:
    asked(visitor, "what is this", image)
    before = tuple(visitor.messages)
    (tmp_path / "page.jpg").write_text("<!doctype html><html>404</html>")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(300_000_000)
    cases = {"page.jpg": "not an image (HTML text)", "dot.png": "image is 1x1", "huge.png": "has 300 MB, more than 100"}
    for name, sentence in cases.items():
        view = asked(visitor, "what is this", str(tmp_path / name))[-1]
        assert view.refused and view.messages == before, name
        assert view.notice.startswith(f"{name}: {sentence}") and str(tmp_path) not in view.notice
    empty = asked(visitor, "   ")[-1]
    assert empty.refused and empty.notice == "nothing was asked; write a question or show an image"
    assert asked(visitor, "", words=CHINESE)[-1].notice.startswith("还没有提问")
    assert not asked(visitor, "what is red")[-1].refused


def test_u16_cmyk_and_animated_images_are_answered(visitor: Visitor, tmp_path: Path) -> None:
    Image.new("CMYK", (20, 20), (0, 200, 100, 0)).save(tmp_path / "print.jpg")
    frames = [tiny.image(number) for number in range(3)]
    frames[0].save(tmp_path / "dance.gif", save_all=True, append_images=frames[1:])
    assert not asked(visitor, "what is this", str(tmp_path / "print.jpg"))[-1].refused
    view = asked(visitor, "what is this", str(tmp_path / "dance.gif"))[-1]
    assert not view.refused and view.notice.startswith("dance.gif: of an animated image only the first frame")


def test_retry_before_a_question_is_told(visitor: Visitor) -> None:
    assert list(visitor.retry(SHORT, CHINESE))[-1] == View((), CHINESE.mistakes["chat.nothing_to_retry"], refused=True)


def test_the_last_question_is_taken_back_with_its_answer(visitor: Visitor, image: str) -> None:
    first = asked(visitor, "what is this")[-1].messages
    asked(visitor, "what is red", image)
    view, question = visitor.take_back(ENGLISH, keep_files=True)
    assert view == View(first) and question == Question("what is red", (image,))
    assert visitor.chat.conversation.images == () and len(visitor.chat.conversation.turns) == 2
    assert asked(visitor, "what is red", image)[-1].messages[:2] == first, "as if it had been asked only now"
    visitor.take_back(ENGLISH, keep_files=False)
    assert visitor.take_back(ENGLISH, keep_files=False)[0] == View(())
    refused = visitor.take_back(CHINESE, keep_files=False)
    assert refused == (View((), CHINESE.mistakes["chat.nothing_to_retry"], refused=True), Question(""))


def test_nothing_is_taken_back_while_an_answer_grows(visitor: Visitor) -> None:
    views = visitor.ask("what is this", [], SHORT, ENGLISH)
    next(views)
    assert visitor.busy and "has not been answered yet" in visitor.take_back(ENGLISH, keep_files=False)[0].notice
    assert list(views)[-1].notice == ENGLISH.cut_off and not visitor.busy


def test_images_of_a_deleted_question_go_and_those_of_an_edited_one_stay(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    uploads = Uploads(tmp_path / "page", Limits())
    visitor = Visitor(tiny.model(), uploads=uploads)
    tiny.image(1).save(tmp_path / "page" / "rose.png")
    file = uploads.adopt(str(tmp_path / "page" / "rose.png"))
    asked(visitor, "what is this", file)
    visitor.take_back(ENGLISH, keep_files=True)
    assert Path(file).exists() and not asked(visitor, "what is red", file)[-1].refused
    visitor.take_back(ENGLISH, keep_files=False)
    assert not Path(file).exists()


def test_an_answer_whose_reader_left_is_kept_as_far_as_it_came(visitor: Visitor) -> None:
    views = visitor.ask("what is this", [], Knobs(max_new_tokens=300), ENGLISH)
    for _ in range(4):
        next(views)
    views.close()  # type: ignore[attr-defined]
    assert not visitor.busy and visitor.messages[0].text == "what is this"
    assert visitor.messages[1].text.endswith("[…]") and len(visitor.chat.conversation.turns) == 2
    assert list(visitor.retry(SHORT, ENGLISH))[-1].notice == ENGLISH.cut_off


def test_tokens_and_seconds_of_an_answer_are_counted(visitor: Visitor) -> None:
    measure = asked(visitor, "what is this")[-1].messages[-1].measure
    assert measure is not None and measure.tokens == 12 and measure.seconds > 0
    assert Measure(30, 2.0).rate == 15 and Measure(0, 0.0).rate == 0
    assert measured(Measure(30, 2.04), ENGLISH) == "30 tokens · 2.0 s · 15 tokens/s"


def test_a_system_text_is_said_before_the_conversation_where_the_template_has_a_place() -> None:
    knobs = Knobs(max_new_tokens=2, system="this is a rose")
    for template, taken in (("vicuna_v0", "this is a rose"), ("mistral", None)):
        visitor = Visitor(tiny.model(template=template))
        list(visitor.ask("what is this", [], knobs, ENGLISH))
        assert visitor.chat.conversation.system == taken, template
        list(visitor.retry(SHORT, ENGLISH))
        assert visitor.chat.conversation.system is None


def test_a_conversation_as_text_and_for_programs(visitor: Visitor, image: str) -> None:
    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    said = [Message("user", file=image), Message("user", "what?"), Message("assistant", "a rose", "", Measure(2, 0.5))]
    assert as_markdown(said, "tiny", ENGLISH, now) == (
        "# Conversation with tiny\n\n2026-01-02 03:04\n\n**You**\n\n![rose.png](rose.png)\n\nwhat?\n\n**Model**\n\n"
        "a rose\n\n*2 tokens · 0.5 s · 4 tokens/s*\n")
    assert json.loads(as_json(said, "tiny", now)) == {
        "model": "tiny", "exported": "2026-01-02T03:04:00+00:00", "messages": [
            {"role": "user", "image": "rose.png"}, {"role": "user", "text": "what?"},
            {"role": "assistant", "text": "a rose", "tokens": 2, "seconds": 0.5}]}


def test_examples_are_offered_in_the_language_of_the_page() -> None:
    english, chinese = Example("a.png", "What is this?", ("b.png",)), Example("", "这是什么？")
    assert in_language([english, chinese], "en") == [english] and in_language([english, chinese], "zh") == [chinese]
    assert in_language([english], "zh") == [english] and english.images == ("a.png", "b.png") and chinese.images == ()


def test_temperature_zero_is_greedy_and_beams_do_not_sample() -> None:
    assert not Knobs().settings().do_sample and not Knobs(temperature=1.0, num_beams=3).settings().do_sample
    drawn = Knobs(temperature=1, top_p=0.5, seed=3).settings()
    assert (drawn.do_sample, drawn.temperature, drawn.top_p, drawn.seed) == (True, 1.0, 0.5, 3)
    assert isinstance(drawn.temperature, float), "transformers takes no whole number"


def test_every_language_has_every_word_and_none_is_anothers() -> None:
    same = {"top_p", "as_markdown", "as_json"}
    for words in WORDINGS.values():
        assert all(value for name, value in vars(words).items() if name != "mistakes")
        assert "{name}" in words.only_first_frame and "{why}" in words.no_camera
    for name, english in vars(ENGLISH).items():
        assert name in same or english != getattr(CHINESE, name), name
        if isinstance(english, str):
            assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", getattr(CHINESE, name))), name
