"""The page in headless Chromium: upload, streamed answer, second question, stop, clear, Chinese, bad input, attacks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.serve.page import build_page, launch
from minigpt4.serve.visitor import Knobs
from minigpt4.serve.wording import CHINESE, ENGLISH
from tests import page_attack, tiny


def upload(tab: Any, *files: Path) -> None:
    """Choose files and wait until they lie in the box."""
    tab.set_input_files("#question input[type=file]", [str(file) for file in files])


def ask(tab: Any, text: str) -> None:
    tab.fill("#question textarea", text)
    tab.press("#question textarea", "Enter")


def wait_for_answers(tab: Any, number: int) -> None:
    """Until so many answers stand and the last one has reached its end (a tiny random model never stops by itself)."""
    tab.wait_for_function(
        "n => { const all = [...document.querySelectorAll('#conversation .bot.message')];"
        " return all.length >= n && all[n - 1].innerText.includes('[…]'); }", arg=number)


def notice(tab: Any, part: str) -> str:
    tab.wait_for_function("part => document.querySelector('#notice').innerText.includes(part)", arg=part)
    return str(tab.inner_text("#notice"))


@pytest.fixture
def rose(tmp_path: Path) -> Path:
    tiny.image(1, size=200).save(tmp_path / "rose.png")
    return tmp_path / "rose.png"


def test_upload_streamed_answer_second_question_retry_and_clear(tab: Any, rose: Path) -> None:
    upload(tab, rose)
    tab.wait_for_selector("#question img, #question .thumbnail-item")
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert tab.query_selector("#conversation img") and notice(tab, ENGLISH.cut_off)
    ask(tab, "what is red")
    wait_for_answers(tab, 2)
    before = tab.inner_text("#conversation")
    tab.click("#retry")
    tab.wait_for_timeout(300)
    wait_for_answers(tab, 2)
    assert tab.inner_text("#conversation") == before
    tab.click("#clear")
    tab.wait_for_selector("#conversation .bot.message", state="detached")
    assert ENGLISH.empty in tab.inner_text("#conversation")


@pytest.mark.usefixtures("slow_answers")
def test_stop_ends_a_long_answer(tab: Any) -> None:
    tab.click("text=" + ENGLISH.settings)
    tab.fill("input[type=number] >> nth=2", "2000")
    tab.press("input[type=number] >> nth=2", "Tab")
    tab.fill("input[type=number] >> nth=2", "400")
    tab.press("input[type=number] >> nth=2", "Tab")
    ask(tab, "what is this")
    tab.wait_for_selector("#conversation .bot.message")
    tab.click("#stop")
    assert ENGLISH.stopped in notice(tab, ENGLISH.stopped)


@pytest.mark.usefixtures("slow_answers")
def test_clear_ends_an_answer_and_what_is_written_meanwhile_stays(tab: Any) -> None:
    ask(tab, "what is this")
    tab.wait_for_selector("#conversation .bot.message")
    tab.fill("#question textarea", "and what is red")
    tab.wait_for_timeout(300)
    assert tab.input_value("#question textarea") == "and what is red"
    tab.click("#clear")
    tab.wait_for_selector("#conversation .message", state="detached")
    tab.wait_for_timeout(500)
    assert tab.query_selector("#conversation .message") is None


@pytest.mark.parametrize("tab", ["zh-CN"], indirect=True)
def test_chinese_by_the_browsers_own_language(tab: Any, rose: Path) -> None:
    tab.wait_for_selector(f"text={CHINESE.title}")
    assert tab.get_attribute("#question textarea", "placeholder") == CHINESE.placeholder
    upload(tab, rose)
    ask(tab, "你好,世界")
    wait_for_answers(tab, 1)
    assert "你好,世界" in tab.inner_text("#conversation") and notice(tab, CHINESE.cut_off)
    tab.click("text=English")
    tab.wait_for_selector(f"text={ENGLISH.title}")


def test_an_example_fills_the_box_and_is_answered(tab: Any) -> None:
    tab.click("#examples .gallery-item >> nth=0")
    tab.wait_for_function("document.querySelector('#question textarea').value.length > 3")
    tab.press("#question textarea", "Enter")
    tab.wait_for_selector("#conversation .bot.message")
    assert tab.query_selector("#conversation img")


def test_u16_bad_input_is_a_sentence_and_the_server_lives(tab: Any, tmp_path: Path, rose: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image at all")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    ask(tab, " ")
    assert "nothing was asked" in notice(tab, "nothing was asked")
    for name, part in (("text.jpg", "not an image"), ("dot.png", "1x1")):
        upload(tab, tmp_path / name)
        tab.wait_for_timeout(400)
        ask(tab, "what is this")
        assert name in notice(tab, part)
        tab.click("#clear")
        tab.wait_for_timeout(400)
    upload(tab, rose)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)


def test_u16_a_file_of_300_megabytes_is_refused(tab: Any, tmp_path: Path, rose: Path) -> None:
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(300_000_000)
    upload(tab, tmp_path / "huge.png")
    tab.wait_for_function("document.body.innerText.toLowerCase().includes('size')")
    tab.reload()
    tab.wait_for_selector("#question textarea")
    upload(tab, rose)
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert tab.query_selector("#conversation img")


def shows_as_text(tab: Any, text: str) -> None:
    """Ask it, and see the very letters in the conversation, with no element made of them."""
    if tab.query_selector("#conversation .message"):
        tab.click("#clear")
        tab.wait_for_selector("#conversation .message", state="detached")
    ask(tab, text)
    shown = "#conversation .user.message .message-content"
    tab.wait_for_function("([at, text]) => document.querySelector(at)?.innerText.replace(/\\s/g, '') === text",
                          arg=[shown, "".join(text.split())])
    tab.wait_for_selector("#conversation .bot.message")
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
    (tmp_path / "![](x) &lt;b&gt;.png").write_text("no image at all")
    upload(tab, tmp_path / "![](x) &lt;b&gt;.png")
    tab.wait_for_timeout(400)
    ask(tab, "what is this")
    assert "&lt;b&gt;" in notice(tab, "not an image") and tab.query_selector("#notice :is(img, b, a)") is None


def test_the_policy_is_kept_by_the_page_itself(browser: Any, address: str) -> None:
    """Nothing that the page does on its own is refused by its policy; a picture of another host is."""
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    tab.goto(address)
    tab.wait_for_selector("#question textarea")
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert errors == []
    tab.evaluate("new Image().src = 'http://evil.test/x.png'")
    tab.wait_for_timeout(300)
    assert any("evil.test" in error for error in errors)
    tab.close()


def test_a_closed_tab_leaves_nothing(browser: Any, address: str, page: Any, tmp_path: Path) -> None:
    tiny.image(2, size=200).save(tmp_path / "tulip.png")

    def kept() -> tuple[int, int]:
        return len(page.visitors), len(list(page.folder.path.rglob("tulip.png")))

    def wait_for(number: tuple[int, int]) -> None:
        deadline = time.monotonic() + 10
        while kept() != number and time.monotonic() < deadline:
            time.sleep(0.05)
        assert kept() == number

    wait_for((0, 0))  # tabs of other tests
    tab = browser.new_page()
    tab.goto(address)
    tab.wait_for_selector("#question textarea")
    upload(tab, tmp_path / "tulip.png")
    tab.wait_for_selector("#question img, #question .thumbnail-item")
    ask(tab, "what is this")
    wait_for_answers(tab, 1)
    assert kept() == (1, 1)
    tab.close()
    wait_for((0, 0))


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
    tab.wait_for_selector("#question textarea")
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
