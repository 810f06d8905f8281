"""Pictures of the page: wide and narrow, light and dark, English and Chinese, before and after a question.

    python -m tests.browser.screenshots FOLDER                 # of the trained embedded default
    python -m tests.browser.screenshots FOLDER --model BUNDLE
    python -m tests.browser.screenshots docs/images --readme   # only those that the READMEs show

Files are named `page_MOMENT_LANGUAGE_COLOURS_WIDTH.png`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from minigpt4.common.files import atomic_file
from minigpt4.inference.load import load_model
from minigpt4.scenes.examples import examples_for
from minigpt4.serve.page import Example, build_page, launch
from tests.browser import driving

TRAINED = "output/minigpt4_scenes_stage2"


@dataclass(frozen=True)
class Shot:
    """How the page is looked at."""

    moment: str
    language: str
    colours: str
    width: int
    height: int

    @property
    def file(self) -> str:
        return f"page_{self.moment}_{self.language}_{self.colours}_{self.width}.png"


SIZES = ((1280, 800), (390, 844))
ALL = [Shot(moment, language, colours, *size) for moment, language, colours, size in
       product(("first", "answered", "settings"), ("en", "zh"), ("light", "dark"), SIZES)]
README = [Shot("first", "en", "light", 1280, 800), Shot("answered", "en", "dark", 1280, 800),
          Shot("first", "zh", "light", 390, 844), Shot("answered", "zh", "light", 390, 844)]


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser of the tests."""
    import shutil

    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS, NAMES

    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit(f"none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def take(browser: Any, address: str, shots: Sequence[Shot], folder: Path) -> None:
    """Open the page for each and write its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        context = browser.new_context(
            viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.colours,
            locale={"en": "en-GB", "zh": "zh-CN"}[shot.language], has_touch=shot.width < 600)
        tab = context.new_page()
        tab.set_default_timeout(120_000)
        driving.open_page(tab, address)
        if shot.moment != "first":
            tab.click("#conversation .example >> nth=1")
            driving.wait_for_answers(tab, 1)
            tab.wait_for_function("[...document.images].every(one => one.complete)")
        if shot.moment == "settings":
            tab.click("#settings > button")
            tab.wait_for_selector("#system textarea", state="visible")
        tab.wait_for_timeout(500)  # gradio's own fading
        _write(tab.screenshot(full_page=shot.moment == "settings"), folder / shot.file)
        context.close()


def _write(png: bytes, path: Path) -> None:
    import io

    with Image.open(io.BytesIO(png)) as image, atomic_file(path) as part:
        image.convert("RGB").save(part, "PNG", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=TRAINED, help=f"bundle, run folder or YAML (default: {TRAINED})")
    parser.add_argument("--readme", action="store_true", help="only the pictures that the READMEs show")
    arguments = parser.parse_args()
    loaded = load_model(arguments.model, device="cpu")
    with tempfile.TemporaryDirectory() as drawn, chromium() as browser:
        examples: list[Example] = examples_for(loaded, Path(drawn))
        about = loaded.knowledge.summary if loaded.knowledge else {}
        page = build_page(loaded, examples=examples, about=about, name=Path(arguments.model).name)
        try:
            address = launch(page, host="127.0.0.1", port=None, share=False, wait=False)
            take(browser, address, README if arguments.readme else ALL, arguments.folder)
        finally:
            page.close()


if __name__ == "__main__":
    main()
