"""The page on which descriptions are read: one key keeps or drops, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minigpt4.curation.journal import Entry, Journal
from minigpt4.curation.review import Review
from tests import tiny
from tests.curation.reviewing import served


@pytest.fixture
def reviewed(tmp_path: Path) -> Iterator[tuple[Review, str]]:
    journal = Journal(tmp_path / "out")
    for number, (name, dropped) in enumerate((("a.png", ""), ("b c.png", "breaks off"), ("d.png", ""))):
        tiny.image(number, 200).save(tmp_path / name)
        journal.put(Entry(name, (f"<b>Text</b> {number}",), dropped=dropped))
    review = Review(journal, tmp_path)
    with served(review) as address:
        yield review, address


def test_keys_decide_and_the_next_description_comes(browser: Any, reviewed: tuple[Review, str]) -> None:
    from playwright.sync_api import expect

    review, address = reviewed
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    expect(page.locator("#text")).to_have_text("<b>Text</b> 0")
    expect(page.locator("#image")).to_have_js_property("naturalWidth", 200)
    page.keyboard.press("d")
    expect(page.locator("#text")).to_have_text("<b>Text</b> 1")
    assert page.inner_text("#state") == "dropped: breaks off"
    expect(page.locator("#image")).to_have_js_property("naturalWidth", 200)
    page.keyboard.press("k")
    expect(page.locator("#text")).to_have_text("<b>Text</b> 2")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#state")).to_contain_text("kept by you")
    page.keyboard.press("u")
    expect(page.locator("#state")).to_have_text("dropped: breaks off")
    page.click("#keep")
    expect(page.locator("#place")).to_contain_text("3 of 3, 2 kept")
    assert [entry.decision for entry in Journal(review.journal.file.parent)] == ["drop", "keep", ""]
    assert not wrong
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
