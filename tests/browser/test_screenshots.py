"""The pictures of the page are made by a command, and are small enough for a README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser.screenshots import ALL, README, Shot, take


def test_every_look_is_there_and_the_readmes_are_some_of_them() -> None:
    assert len(ALL) == 24 and set(README) < set(ALL) and len(README) <= 4
    assert Shot("first", "zh", "dark", 390, 844).file == "page_first_zh_dark_390.png"


@pytest.mark.slow
def test_pictures_are_taken(browser: Any, address: str, tmp_path: Path) -> None:
    take(browser, address, ALL, tmp_path)
    for shot in ALL:
        with Image.open(tmp_path / shot.file) as image:
            assert image.width == shot.width and image.height >= shot.height
            corner = image.convert("L").getpixel((2, 2))
        assert isinstance(corner, int) and (corner < 80) == (shot.colours == "dark"), shot
        assert (tmp_path / shot.file).stat().st_size < 150_000
