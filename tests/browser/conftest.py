"""A real browser on a real page: headless Chromium of the system, no other host is ever asked.

Without Chromium these tests are skipped with a reason; where CI=true they fail instead.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from minigpt4.assembly.loaded import LoadedModel
from tests import tiny
from tests.browser import driving

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",  # a camera that films a pattern
]
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = f"no browser of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def served() -> LoadedModel:
    """The tiny random model behind the page."""
    return tiny.model()


@pytest.fixture
def slow_answers(served: LoadedModel) -> Iterator[None]:
    """A twentieth of a second a token, so that there is something to stop, however fast or slow the machine is."""
    hook = served.model.llm.model.register_forward_pre_hook(lambda *_: time.sleep(0.05))
    yield
    hook.remove()


@pytest.fixture(scope="module")
def page(served: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of the tiny model."""
    from minigpt4.scenes.examples import scene_examples
    from minigpt4.serve.knobs import Knobs
    from minigpt4.serve.page import Example, build_page

    drawn = scene_examples(tmp_path_factory.mktemp("examples"))
    two = [Example(drawn[0].image, "What is the same?", (drawn[1].image,)), Example("", "Hello")]
    built = build_page(served, examples=[*two, *drawn], knobs=Knobs(max_new_tokens=40), name="tiny_model",
                       about={"en": "It knows nothing at all.", "zh": "它什么都不知道。"})
    yield built
    built.close()


@pytest.fixture(scope="module")
def address(page: Any) -> str:
    """Where it is served for the whole session."""
    from minigpt4.serve.page import launch

    return launch(page, host="127.0.0.1", port=None, share=False, wait=False)


@dataclass(frozen=True)
class Tab:
    """How a tab is opened: the browser's language and the size of its window."""

    locale: str = "en-GB"
    width: int = 1000
    height: int = 900


@pytest.fixture(scope="module")
def contexts(browser: Any) -> Iterator[Callable[[Tab], Any]]:
    """One context for each way of opening a tab: what a browser has loaded once it need not load for the next test."""
    opened: dict[Tab, Any] = {}

    def context(wanted: Tab) -> Any:
        if wanted not in opened:
            opened[wanted] = browser.new_context(
                locale=wanted.locale, viewport={"width": wanted.width, "height": wanted.height},
                permissions=["camera", "clipboard-read", "clipboard-write"])
        return opened[wanted]

    yield context
    for one in opened.values():
        one.close()


@pytest.fixture
def tab(contexts: Callable[[Tab], Any], address: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A fresh tab on the page, as the test's parameter says. Other hosts are refused."""
    tab = contexts(getattr(request, "param", Tab())).new_page()
    asked: list[str] = []
    tab.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
           else asked.append(request.url))
    tab.set_default_timeout(60_000)
    driving.open_page(tab, address)
    yield tab
    folder = os.environ.get("SCREENSHOTS")
    tab.screenshot(path=str(Path(folder or tmp_path) / f"{request.node.name}.png"), full_page=True)
    tab.evaluate("localStorage.clear()")
    tab.close()
    assert not asked, f"the page asked other hosts: {asked[:3]}"
