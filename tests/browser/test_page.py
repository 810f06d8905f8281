"""The page in headless Chromium: upload, streamed answer, second question, clear, Chinese, bad input, attacks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.serve.knobs import Knobs
from minigpt4.serve.limits import Limits
from minigpt4.serve.page import build_page, launch
from minigpt4.serve.wording import CHINESE, ENGLISH
from tests import page_attack, tiny
from tests.browser.conftest import Tab
from tests.browser.driving import (
    answers,
    ask,
    clear,
    notice,
    open_page,
    retry,
    upload,
    wait_for_answers,
    wait_until_ready,
)


@pytest.fixture
def rose(tmp_path: Path) -> Path:
    tiny.image(1, size=200).save(tmp_path / "rose.png")
    return tmp_path / "rose.png"


def test_upload_streamed_answer_second_question_retry_and_clear(tab: Any, rose: Path) -> None:
    upload(tab, rose)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert tab.query_selector("#conversation img") and notice(tab, ENGLISH.cut_off)
    ask(tab, "what is red")
    wait_for_answers(tab, 2)
    before = answers(tab)
    retry(tab, 2)
    assert answers(tab) == before
    clear(tab)
    assert ENGLISH.empty in tab.inner_text("#conversation")


@pytest.mark.usefixtures("slow_answers")
def test_what_is_written_while_an_answer_grows_stays(tab: Any) -> None:
    ask(tab, "what is this")
    tab.wait_for_selector("#conversation .bot.message")
    tab.fill("#question textarea", "and what is red")
    tab.wait_for_timeout(300)
    assert tab.input_value("#question textarea") == "and what is red"
    tab.press("body", "Escape")
    clear(tab)
    assert tab.input_value("#question textarea") == ""


@pytest.mark.parametrize("tab", [Tab("zh-CN")], indirect=True)
def test_chinese_by_the_browsers_own_language(tab: Any, rose: Path) -> None:
    tab.wait_for_selector(f"text={CHINESE.empty}")
    assert tab.get_attribute("#question textarea", "placeholder") == CHINESE.placeholder
    upload(tab, rose)
    ask(tab, "你好,世界")
    wait_for_answers(tab, 1)
    assert "你好,世界" in tab.inner_text("#conversation") and notice(tab, CHINESE.cut_off)
    tab.click("text=English")
    tab.wait_for_selector(f"[placeholder='{ENGLISH.placeholder}']")


def test_u16_bad_input_is_a_sentence_and_the_server_lives(tab: Any, tmp_path: Path, rose: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image at all")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    ask(tab, " ")
    assert "nothing was asked" in notice(tab, "nothing was asked")
    for name, part in (("text.jpg", "not an image"), ("dot.png", "1x1")):
        upload(tab, tmp_path / name)
        ask(tab, "what is this")
        assert name in notice(tab, part)
        tab.click("#question .delete-button")
    upload(tab, rose)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)


@pytest.mark.slow
def test_u16_a_file_of_300_megabytes_is_refused(tab: Any, tmp_path: Path, rose: Path) -> None:
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(300_000_000)
    tab.set_input_files("#question input[type=file]", str(tmp_path / "huge.png"))
    tab.wait_for_function("document.querySelector('#local').innerText.toLowerCase().includes('size')")
    tab.reload()
    wait_until_ready(tab)
    upload(tab, rose)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert tab.query_selector("#conversation img")


def shows_as_text(tab: Any, text: str) -> None:
    """Ask it, and see the very letters in the conversation, with no element made of them."""
    if tab.query_selector("#conversation .message"):
        tab.wait_for_selector("#clear")
        clear(tab)
    ask(tab, text)
    shown = "#conversation .user.message .message-content"
    tab.wait_for_function("([at, text]) => document.querySelector(at)?.innerText.replace(/\\s/g, '') === text",
                          arg=[shown, "".join(text.split())])
    wait_for_answers(tab, 1)
    assert tab.evaluate("at => document.querySelectorAll(at + ' :is(img, a, script, iframe, svg, video, form, object, "
                        "embed, link, style, base, meta, input, details)').length", shown) == 0


def test_markup_is_text_and_no_other_host_is_asked(tab: Any) -> None:
    for pattern in page_attack.MARKUP[:4]:
        shows_as_text(tab, pattern.format(url="http://evil.test/x"))


@pytest.mark.slow
def test_all_markup_is_text(tab: Any) -> None:
    for pattern in page_attack.MARKUP:
        shows_as_text(tab, pattern.format(url="http://evil.test/x"))


def test_markup_in_an_answer_and_in_a_name_is_text(tab: Any, served: LoadedModel, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "![](http://evil.test/x) <img src=http://evil.test/y> [a](http://evil.test/z) & <b>"
    monkeypatch.setattr(type(served.tokenizer), "decode", lambda *_, **__: answer)
    ask(tab, "what is this")
    tab.wait_for_function("document.querySelector('#conversation .bot.message')?.innerText.includes('evil.test/z')")
    assert tab.inner_text("#conversation .bot.message .message-content").startswith(answer)
    assert tab.query_selector("#conversation .message-content :is(img, a, b)") is None
    wait_for_answers(tab, 1)
    (tmp_path / "![](x) &lt;b&gt;.png").write_text("no image at all")
    upload(tab, tmp_path / "![](x) &lt;b&gt;.png")
    ask(tab, "what is this")
    assert "&lt;b&gt;" in notice(tab, "not an image") and tab.query_selector("#notice :is(img, b, a)") is None


def test_the_policy_is_kept_by_the_page_itself(browser: Any, address: str) -> None:
    """Nothing that the page does on its own is refused by its policy; a picture of another host is."""
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    open_page(tab, address)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert errors == []
    tab.evaluate("new Image().src = 'http://evil.test/x.png'")
    tab.wait_for_timeout(300)
    assert any("evil.test" in error for error in errors)
    tab.close()


@pytest.mark.slow
def test_a_closed_tab_leaves_nothing(browser: Any, served: LoadedModel, tmp_path: Path) -> None:
    """Not at once, since a reload looks the same; here after half a second."""
    page = build_page(served, knobs=Knobs(max_new_tokens=10), limits=Limits(away_seconds=0.5))
    address = launch(page, host="127.0.0.1", port=None, share=False, wait=False)
    tiny.image(2, size=200).save(tmp_path / "tulip.png")

    def kept() -> tuple[int, int]:
        return len(page.visitors), len(list(page.folder.path.rglob("tulip.png")))

    tab = browser.new_page()
    open_page(tab, address)
    upload(tab, tmp_path / "tulip.png")
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert kept() == (1, 1)
    tab.close()
    deadline = time.monotonic() + 30
    while kept() != (0, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert kept() == (0, 0)
    page.close()


def test_a_password_lets_in_and_keeps_out(browser: Any, served: LoadedModel) -> None:
    page = build_page(served, knobs=Knobs(max_new_tokens=40))
    address = launch(page, host="127.0.0.1", port=None, share=False, auth=("me", "secret"), wait=False)
    tab = browser.new_page()
    tab.goto(address)
    tab.wait_for_selector("input[type=password]")
    assert tab.query_selector("#question") is None
    tab.fill("input >> nth=0", "me")
    tab.fill("input[type=password]", "secret")
    tab.click("button")
    wait_until_ready(tab)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    tab.close()
    page.close()


def test_dark_is_switched(tab: Any) -> None:
    colour = "getComputedStyle(document.querySelector('#conversation')).backgroundColor"
    before = tab.evaluate(colour)
    tab.click("#dark")
    tab.wait_for_function(f"old => {colour} != old", arg=before)
    assert tab.evaluate(colour) != before
