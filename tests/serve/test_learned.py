"""The page that shows how a model learned: linked in the heading, served by the gate, and nothing else beside it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from minigpt4.serve.page import build_page, launch
from minigpt4.serve.shown import Title, as_heading
from minigpt4.serve.wording import WORDINGS
from tests import tiny


@pytest.mark.parametrize(("code", "link"), [("en", "See how it learned"), ("zh", "看看它是怎样学会的")])
def test_the_heading_says_who_answers_what_it_knows_and_how_it_learned(code: str, link: str) -> None:
    title = Title("<mine>", {"en": "Trained on stars & moons.", "zh": "只认识星星。"}, learned=True)
    text = as_heading(title, code, WORDINGS[code])
    assert "&lt;mine&gt;" in text and link in text and 'href="/learned"' in text
    assert ("stars &amp; moons" in text) == (code == "en")
    assert "href" not in as_heading(Title("mine"), code, WORDINGS[code])


def test_it_is_served_under_the_pages_policy(tmp_path: Path) -> None:
    (tmp_path / "demo.html").write_text("<h1>学习</h1>", encoding="utf-8")
    page = build_page(tiny.model(), learned=tmp_path / "demo.html")
    try:
        address = launch(page, host="127.0.0.1", port=None, share=False, wait=False).rstrip("/")
        answer = httpx.get(f"{address}/learned")
        assert (answer.status_code, answer.text) == (200, "<h1>学习</h1>")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert httpx.get(f"{address}/learned/../demo.html").status_code == 404
        assert httpx.post(f"{address}/learned", content=b"{}").status_code != 200
    finally:
        page.close()
