"""The page over HTTP: one policy on every answer, few doors, and every payload answered or refused in a sentence."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from minigpt4.serve.gate import POLICY
from minigpt4.serve.page import Page
from minigpt4.serve.wording import ENGLISH
from tests import page_attack
from tests.page_attack import Said, Talker

Served = tuple[Page, str]


def test_every_answer_carries_the_policy(served: Served) -> None:
    for path, status in (("", 200), ("config", 200), ("gradio_api/info", 200), ("no/such/page", 404),
                         ("gradio_api/file=/etc/passwd", 403), ("gradio_api/file=http://evil.test/x", 404),
                         ("monitoring", 404), ("gradio_api/vibe-code", 404), ("gradio_api/proxy=http://evil.test", 404),
                         ("gradio_api/file/etc/passwd", 404), ("gradio_api/run-history/buckets", 404)):
        answer = httpx.get(served[1] + path, trust_env=False)
        assert answer.status_code == status, path
        assert answer.headers["content-security-policy"] == POLICY and "http:" not in POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_question_with_an_image_is_answered_and_leaves_nothing(served: Served) -> None:
    page, address = served
    folder = page.folder.path / "uploads"
    others = set(folder.rglob("rose.png"))  # of tests before, whose tabs may come back

    def held() -> set[Path]:
        return set(folder.rglob("rose.png")) - others

    with Talker(address, stays=True) as talker:
        said = talker.ask("what is this", talker.upload(("rose.png", page_attack.rose())))
        assert said.answered and len(held()) == 1
        talker.call("clear", [])
        assert not held()
        talker.ask("what is this", talker.upload(("rose.png", page_attack.rose())))
        assert len(held()) == 1
    for _ in range(100):
        if not held():
            break
        time.sleep(0.05)
    assert not held(), "the tab is closed"


def test_questions_one_after_another_need_nothing_between_them(served: Served) -> None:
    with Talker(served[1]) as talker:
        assert all(talker.ask("what is this").notice != ENGLISH.stopped for _ in range(3))


def test_names_are_text(served: Served) -> None:
    with Talker(served[1]) as talker:
        said = talker.ask("what", talker.upload(("a&b.png", b"no image")))
    assert said.notice.startswith("a&amp;b.png: not an image")


def test_sizes_are_bounded_by_sentences(served: Served) -> None:
    with Talker(served[1]) as talker:
        said = talker.ask("x" * 4_100_000)
        assert (said.status, said.notice) == (413, "the question is larger than 4 MB; ask a shorter one")
        answer = talker.http.post("/gradio_api/upload", content=iter([b"x"]),
                                  headers={"content-type": "multipart/form-data; boundary=x"})
        assert answer.status_code == 413 and "must say its size" in answer.json()["detail"]
        assert talker.http.post("/gradio_api/upload", content=b"x").status_code in (400, 422)


@pytest.mark.parametrize("path", ["/etc/passwd", "http://evil.test/x.png", "../../etc/passwd", "file:///etc/passwd"])
def test_only_files_that_were_uploaded_come_with_a_question(served: Served, path: str) -> None:
    with Talker(served[1]) as talker:
        said = talker.ask("what", [path])
    assert said.status == 413 and "files that were uploaded here" in said.notice


def test_too_many_files_are_refused_where_gradios_client_and_page_show_it(served: Served) -> None:
    with Talker(served[1]) as talker:
        one = talker.upload(("rose.png", page_attack.rose()))
        assert talker.ask("what", one * 1001).notice == (
            "the question comes with 1001 images, more than 1000; show fewer images")
        assert "images, the language model has room for" in talker.ask("what", one * 300).notice
        question = {"text": "what", "files": [{"path": "/etc/passwd"}]}
        answer = talker.http.post("/gradio_api/queue/join", json={"data": [question], "session_hash": talker.session})
        assert answer.status_code == 422 and "uploaded here" in answer.json()["detail"][0]["message"]
        assert talker.ask("what is this", one).answered


def judged(said: Said, seconds: float) -> None:
    """Answered or refused, at once, and nothing of the server in it."""
    assert said.answered or said.notice, said
    assert not said.tells_a_secret, said.raw[:1000]
    assert "Traceback" not in said.raw and seconds < 20
    assert len(said.raw) < 3_000_000


@pytest.mark.parametrize("text", page_attack.questions(0)[:8])
def test_a_few_payloads(served: Served, text: str) -> None:
    with Talker(served[1]) as talker:
        begin = time.monotonic()
        judged(talker.ask(text), time.monotonic() - begin)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_all_payloads(served: Served, seed: int) -> None:
    for text in page_attack.questions(seed):
        with Talker(served[1]) as talker:
            begin = time.monotonic()
            judged(talker.ask(text), time.monotonic() - begin)
    for file in page_attack.files(seed):
        with Talker(served[1]) as talker:
            begin = time.monotonic()
            judged(talker.ask("what is this", talker.upload(file)), time.monotonic() - begin)
    for name, data in page_attack.BAD_CALLS:
        with Talker(served[1]) as talker:
            begin = time.monotonic()
            said = talker.call(name, json.loads(json.dumps(data)))
            assert said.notice or said.messages == []
            assert not said.tells_a_secret and time.monotonic() - begin < 20


def test_the_examples_list_is_seeded() -> None:
    assert page_attack.questions(3) == page_attack.questions(3) != page_attack.questions(4)
    assert len(page_attack.questions()) + len(page_attack.NAMES) + len(page_attack.BAD_CALLS) >= 80


def test_nothing_lies_outside_the_private_folder(served: Served) -> None:
    assert Path(served[0].site.app.uploaded_file_dir) == served[0].folder.path
