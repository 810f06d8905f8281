"""What a person does on the page, by hand: open it, choose files, ask, wait, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def open_page(tab: Any, address: str) -> None:
    """Open it, and wait until the server knows that the tab is there."""
    tab.goto(address)
    wait_until_ready(tab)


def wait_until_ready(tab: Any) -> None:
    """Until its first events are through."""
    tab.wait_for_selector("body[data-arrived] #question textarea")


def upload(tab: Any, *files: Path) -> None:
    """Choose files and wait until they lie in the box."""
    before = thumbnails(tab)
    tab.set_input_files("#question input[type=file]", [str(file) for file in files])
    tab.wait_for_function("n => document.querySelectorAll('#question .thumbnail-item').length >= n",
                          arg=before + len(files))


def thumbnails(tab: Any) -> int:
    """Images in the box."""
    return len(tab.query_selector_all("#question .thumbnail-item"))


def ask(tab: Any, text: str) -> None:
    tab.fill("#question textarea", text)
    tab.press("#question textarea", "Enter")


def wait_for_answers(tab: Any, number: int) -> None:
    """Until so many answers stand, the last one is complete and the buttons are as they belong."""
    tab.wait_for_function(
        "n => { const all = [...document.querySelectorAll('#conversation .bot.message')];"
        " return all.length === n && all[n - 1].querySelector('.measure') && !document.querySelector('#stop')"
        " && document.querySelector('#retry'); }", arg=number)


def retry(tab: Any, number: int) -> None:
    """Answer the last of so many questions again, and wait for an answer that is not the old one."""
    tab.evaluate("[...document.querySelectorAll('#conversation .measure')].at(-1).dataset.old = '1'")
    tab.click("#retry")
    tab.wait_for_selector("#conversation .measure[data-old]", state="detached")
    wait_for_answers(tab, number)


def answers(tab: Any) -> list[str]:
    """What was said, without what stands below it."""
    return [one.inner_text() for one in tab.query_selector_all("#conversation .bot.message .said")]


def notice(tab: Any, part: str) -> str:
    """Wait for a sentence beside the box and read it."""
    tab.wait_for_function("part => document.querySelector('#notice').innerText.includes(part)", arg=part)
    return str(tab.inner_text("#notice"))


def clear(tab: Any) -> None:
    tab.click("#clear")
    tab.wait_for_selector("#conversation .message", state="detached")
