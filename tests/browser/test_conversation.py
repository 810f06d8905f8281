"""What can be done with a conversation: stop, edit, delete, take away, come back, look closer, films, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minigpt4.serve.wording import ENGLISH
from tests import tiny
from tests.browser.driving import (
    answers,
    ask,
    notice,
    open_page,
    retry,
    thumbnails,
    upload,
    wait_for_answers,
    wait_until_ready,
)


@pytest.fixture
def rose(tmp_path: Path) -> Path:
    tiny.image(1, size=700).save(tmp_path / "rose.png")
    return tmp_path / "rose.png"


@pytest.mark.usefixtures("slow_answers")
def test_stop_is_there_only_while_an_answer_grows(tab: Any) -> None:
    assert tab.query_selector("#stop") is None and tab.query_selector("#tools") is None
    ask(tab, "what is this")
    tab.wait_for_selector("#conversation .bot.message")
    assert tab.query_selector("#tools") is None
    tab.click("#stop")
    assert ENGLISH.stopped in notice(tab, ENGLISH.stopped)
    wait_for_answers(tab, 1)
    ask(tab, "what is red")
    tab.wait_for_selector("#conversation .bot.message >> nth=1")
    tab.keyboard.press("Escape")
    assert ENGLISH.stopped in notice(tab, ENGLISH.stopped)
    wait_for_answers(tab, 2)


def test_the_last_question_is_edited_and_deleted(tab: Any, rose: Path, page: Any) -> None:
    others = set(page.folder.path.rglob("rose.png"))  # of tabs before, which may come back

    def held() -> set[Path]:
        return set(page.folder.path.rglob("rose.png")) - others

    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    first = answers(tab)
    upload(tab, rose)
    ask(tab, "what is red")
    wait_for_answers(tab, 2)
    tab.click("#edit")
    tab.wait_for_function("document.querySelector('#question textarea').value === 'what is red'")
    assert thumbnails(tab) == 1 and answers(tab) == first
    ask(tab, "what is on the table")
    wait_for_answers(tab, 2)
    assert "what is red" not in tab.inner_text("#conversation") and len(held()) == 1
    assert tab.query_selector("#conversation .user.message img")
    tab.click("#delete")
    wait_for_answers(tab, 1)
    assert answers(tab) == first and not held()
    tab.click("#delete")
    tab.wait_for_selector("#conversation .placeholder-content")
    tab.wait_for_selector("#tools", state="detached")


def test_the_conversation_is_taken_away_as_text_and_for_programs(tab: Any, rose: Path) -> None:
    upload(tab, rose)
    ask(tab, "what <b>is</b> this")
    wait_for_answers(tab, 1)
    with tab.expect_download() as waiting:
        tab.click("#json")
    taken = json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))
    image, question, answer = taken["messages"]
    assert taken["model"] == "tiny_model" and image == {"role": "user", "image": "rose.png"}
    assert question == {"role": "user", "text": "what <b>is</b> this"}
    assert answer["text"] and answer["tokens"] == 40 and answer["seconds"] > 0
    with tab.expect_download() as waiting:
        tab.click("#markdown")
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert waiting.value.suggested_filename.endswith(".md")
    assert text.startswith("# Conversation with tiny_model") and "![rose.png](rose.png)\n\nwhat <b>is</b> this" in text


def test_the_conversation_survives_a_reload_and_nobody_else_sees_it(tab: Any, rose: Path, address: str) -> None:
    upload(tab, rose)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    said = answers(tab)
    tab.reload()
    wait_until_ready(tab)
    wait_for_answers(tab, 1)
    assert answers(tab) == said and "what is this" in tab.inner_text("#conversation")
    tab.wait_for_function("[...document.querySelectorAll('#conversation img')].every(one => one.naturalWidth === 700)")
    retry(tab, 1)
    assert answers(tab) == said, "the image is still known"
    other = tab.context.new_page()
    open_page(other, address)
    assert other.query_selector("#conversation .message") is None
    other.close()


@pytest.mark.usefixtures("slow_answers")
def test_a_reload_ends_the_answer_and_keeps_what_was_said(tab: Any) -> None:
    ask(tab, "what is this")
    tab.wait_for_selector("#conversation .bot.message")
    tab.reload()
    wait_until_ready(tab)
    wait_for_answers(tab, 1)
    assert answers(tab)[0].endswith("[…]")
    retry(tab, 1)


def test_a_click_on_an_image_shows_the_original(tab: Any, rose: Path) -> None:
    upload(tab, rose)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    small = tab.query_selector("#conversation img").bounding_box()
    tab.click("#conversation .message img")
    tab.wait_for_function("document.querySelector('dialog.zoom img')?.naturalWidth === 700")
    assert tab.query_selector("dialog.zoom img").bounding_box()["width"] > small["width"]
    tab.keyboard.press("Escape")
    tab.wait_for_selector("dialog", state="detached")
    tab.focus("#conversation .message .image-container button")
    tab.keyboard.press("Enter")
    tab.click(f"dialog >> text={ENGLISH.close}")
    tab.wait_for_selector("dialog", state="detached")


def test_a_photo_is_taken_and_an_image_dropped_beside_the_box_lies_in_it(tab: Any) -> None:
    tab.click("#camera")
    tab.click(f"dialog.camera >> text={ENGLISH.take_photo}")
    tab.wait_for_selector("#question .thumbnail-item")
    assert tab.query_selector("dialog") is None
    tab.evaluate("""() => {
        const dropped = new DataTransfer();
        dropped.items.add(new File([new Blob(['x'])], 'x.png', { type: 'image/png' }));
        document.querySelector('#conversation').dispatchEvent(
            new DragEvent('drop', { dataTransfer: dropped, bubbles: true, cancelable: true }));
    }""")
    tab.wait_for_function("document.querySelectorAll('#question .thumbnail-item').length === 2")
    refused = "async () => { throw new DOMException('no', 'NotAllowedError'); }"
    tab.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refused}; }}")
    tab.click("#camera")
    tab.wait_for_selector("#local p:has-text('NotAllowedError')")


def test_a_mistake_is_told_beside_the_box_and_to_screen_readers(tab: Any) -> None:
    ask(tab, " ")
    assert "nothing was asked" in notice(tab, "nothing was asked")
    told, box = (tab.query_selector(at).bounding_box() for at in ("#notice p[role=alert]", "#question"))
    assert 0 <= box["y"] - (told["y"] + told["height"]) < 60, "just above the box"
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert tab.query_selector("#notice [role=alert]") is None


@pytest.mark.slow
def test_a_seed_repeats_a_drawn_answer_and_a_wrong_one_is_told(tab: Any) -> None:
    tab.click("#settings > button")
    tab.wait_for_selector("#seed :is(input, textarea)", state="visible")
    tab.fill("#temperature input[type=number]", "2")
    tab.press("#temperature input[type=number]", "Tab")
    tab.fill("#seed :is(input, textarea)", "7")
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    drawn = answers(tab)
    retry(tab, 1)
    assert answers(tab) == drawn
    tab.fill("#seed :is(input, textarea)", "8")
    retry(tab, 1)
    assert answers(tab) != drawn
    tab.fill("#seed :is(input, textarea)", "-8")
    tab.click("#retry")
    assert "seed a whole number" in notice(tab, "seed a whole number")
