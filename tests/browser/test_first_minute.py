"""What somebody sees who opens the page for the first time: head, examples, both languages, phone, keyboard."""

from __future__ import annotations

import re
from typing import Any

import pytest

from minigpt4.serve.wording import CHINESE, ENGLISH
from tests.browser.conftest import Tab
from tests.browser.driving import answers, ask, clear, wait_for_answers

PHONE = Tab("zh-CN", 390, 844)


def test_the_head_names_the_model_and_what_it_knows_and_an_example_is_sent_by_a_click(tab: Any) -> None:
    assert "tiny_model" in tab.inner_text("#heading") and "It knows nothing at all." in tab.inner_text("#heading")
    offered = [one.inner_text() for one in tab.query_selector_all("#conversation .example")]
    assert "What is the same?" in offered and "Hello" in offered
    assert not any("\u4e00" <= letter <= "\u9fff" for text in offered for letter in text)
    tab.fill("#question textarea", "my own words")
    tab.click("#conversation .example:has-text('What is the same?')")
    wait_for_answers(tab, 1)
    assert len(tab.query_selector_all("#conversation .user.message img")) == 2
    assert "What is the same?" in tab.inner_text("#conversation .user.message >> nth=0")
    assert tab.input_value("#question textarea") == "my own words"
    clear(tab)
    tab.click("#conversation .example:has-text('Hello')")
    wait_for_answers(tab, 1)
    assert tab.query_selector("#conversation .message img") is None


def test_tokens_seconds_and_rate_stand_under_an_answer_and_it_is_copied(tab: Any) -> None:
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert re.match(r"\d+ tokens · \d+\.\d s · \d+ tokens/s", tab.inner_text("#conversation .measure"))
    tab.click("#conversation .copy")
    tab.wait_for_selector("#conversation .copy.copied")
    assert tab.evaluate("navigator.clipboard.readText()") == tab.text_content("#conversation .said")


@pytest.mark.parametrize("tab", [PHONE], indirect=True)
def test_on_a_phone_nothing_is_wider_than_it_and_all_is_chinese(tab: Any) -> None:
    def fits() -> bool:
        return bool(tab.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    assert fits() and "它什么都不知道。" in tab.inner_text("#heading")
    box = tab.query_selector("#question").bounding_box()
    assert box["y"] + box["height"] <= 844, "the box is seen without scrolling"
    tab.click("#conversation .example >> nth=0")
    wait_for_answers(tab, 1)
    assert fits()
    heights = [one.bounding_box()["height"] for one in tab.query_selector_all("#tools button, #camera, #dark")]
    assert min(heights) >= 36, heights
    tab.click("#settings > button")
    tab.wait_for_selector("#system textarea", state="visible")
    assert fits()
    seen = tab.inner_text("body")
    english = [words for key, words in vars(ENGLISH).items() if isinstance(words, str) and "{" not in words
               and words != getattr(CHINESE, key) and key != "name"]
    assert [words for words in english if re.search(rf"\b{re.escape(words)}\b", seen)] == []
    labels = tab.evaluate("[...document.querySelectorAll('#question [aria-label], #camera, #dark')]"
                          ".map(one => one.getAttribute('aria-label'))")
    assert {CHINESE.attach, CHINESE.send, CHINESE.camera, CHINESE.dark, CHINESE.placeholder} <= set(labels)


@pytest.mark.slow
def test_language_and_colours_are_remembered_and_answers_are_reworded(tab: Any) -> None:
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    dark = "document.body.classList.contains('dark')"
    before = tab.evaluate(dark)
    tab.click("#dark")
    tab.wait_for_function(f"old => {dark} != old", arg=before)
    tab.click("text=中文")
    tab.wait_for_selector(f"[placeholder='{CHINESE.placeholder}']")
    tab.wait_for_selector("#conversation .measure:has-text('词元')")
    tab.reload()
    tab.wait_for_selector(f"[placeholder='{CHINESE.placeholder}']")
    tab.wait_for_selector("#conversation .measure:has-text('词元')")
    assert tab.evaluate(dark) != before and tab.evaluate("document.documentElement.lang") == "zh"


def test_keys(tab: Any) -> None:
    """Shift+Enter is a new line, Enter sends, the box is ready for the next question; everything is reached by Tab."""
    box = "#question textarea"
    tab.wait_for_function("document.activeElement.matches('#question textarea')")
    tab.keyboard.type("what is")
    tab.keyboard.press("Shift+Enter")
    tab.keyboard.type("this")
    assert tab.input_value(box) == "what is\nthis"
    composing = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true, isComposing: true})"
    tab.evaluate(f"document.querySelector('{box}').dispatchEvent({composing})")
    assert tab.input_value(box) == "what is\nthis"
    tab.keyboard.press("Enter")
    wait_for_answers(tab, 1)
    assert len(answers(tab)) == 1
    tab.wait_for_function("document.activeElement.matches('#question textarea')")
    reached = set()
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.closest('[id]')?.id"))
        seen = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert seen != "none" or tab.evaluate("document.activeElement.matches('#question textarea, body')")
        if "settings" in reached and "dark" in reached:
            break
    assert {"settings", "dark"} <= reached, reached
