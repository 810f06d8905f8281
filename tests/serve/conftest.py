"""A page without a browser, served for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minigpt4.serve.knobs import Knobs
from minigpt4.serve.page import Page, build_page, launch
from tests import tiny


@pytest.fixture(scope="package")
def served() -> Iterator[tuple[Page, str]]:
    """The page of the tiny model and its address."""
    page = build_page(tiny.model(), knobs=Knobs(max_new_tokens=20))
    yield page, launch(page, host="127.0.0.1", port=None, share=False, wait=False)
    page.close()
