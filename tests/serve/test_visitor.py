"""A visitor's conversation without a browser: growing answers, stop, retry, clear, and sentences for mistakes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PIL import Image

from minigpt4.serve.visitor import Knobs, View, Visitor
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
    question = ({"role": "user", "content": {"path": image}}, {"role": "user", "content": "what is this"})
    assert views[0].messages == question
    answers = [view.messages[-1]["content"] for view in views[1:]]
    assert all(later.startswith(earlier) for earlier, later in zip(answers, answers[1:], strict=False))
    assert answers[-1].endswith("[…]") and views[-1].notice == ENGLISH.cut_off


def test_several_turns_stay_and_retry_answers_the_last_again(visitor: Visitor, image: str) -> None:
    asked(visitor, "what is this", image)
    last = asked(visitor, "what is red")[-1].messages
    assert [message["role"] for message in last] == ["user", "user", "assistant", "user", "assistant"]
    again = list(visitor.retry(SHORT, ENGLISH))[-1].messages
    assert again == last


def test_stop_keeps_what_was_said_and_the_next_question_works(visitor: Visitor, image: str) -> None:
    views = []
    for view in visitor.ask("what is this", [image], Knobs(max_new_tokens=300), ENGLISH):
        views.append(view)
        if len(views) == 3:
            visitor.stop()
    assert views[-1].notice == ENGLISH.stopped and views[-1].messages[-1]["content"]
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


def test_temperature_zero_is_greedy_and_beams_do_not_sample() -> None:
    assert not Knobs().settings().do_sample and not Knobs(temperature=1.0, num_beams=3).settings().do_sample
    assert Knobs(temperature=0.5).settings().temperature == 0.5


def test_every_language_has_every_word() -> None:
    for words in WORDINGS.values():
        assert all(value for name, value in vars(words).items() if name != "mistakes")
        assert "{name}" in words.only_first_frame
