"""Cheap bounds before work, the line of questions, the time of an answer, and what is left of those who go."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from minigpt4.common.errors import UserError
from minigpt4.serve.address import bypass_proxies, credentials, warning
from minigpt4.serve.knobs import Knobs
from minigpt4.serve.limits import Limits
from minigpt4.serve.line import Line
from minigpt4.serve.messages import View
from minigpt4.serve.private_folder import VARIABLE, PrivateFolder
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.visitor import Visitor
from minigpt4.serve.visitors import Visitors
from minigpt4.serve.wording import CHINESE, ENGLISH
from tests import page_attack, tiny

SHORT = Knobs(max_new_tokens=12)
LOADED = tiny.model()


def asked(visitor: Visitor, text: str, *files: str, knobs: Knobs = SHORT) -> View:
    return list(visitor.ask(text, list(files), knobs, ENGLISH))[-1]


def written(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    (tmp_path / "page").mkdir()
    return Uploads(tmp_path / "page", Limits(upload_bytes=1000, file_bytes=600, unasked_seconds=0.2, upload_files=3))


def test_a_megabyte_of_text_is_refused_by_counting() -> None:
    begin = time.process_time()
    view = asked(Visitor(LOADED), "a" * 1_000_000)
    assert view.refused and "1000000 characters, more than 4096" in view.notice
    assert time.process_time() - begin < 0.5


def test_images_are_counted_and_measured_before_they_are_decoded(tmp_path: Path) -> None:
    dot = written(tmp_path / "dot.png", page_attack.rose())
    assert "5000 images, the language model has room for 170" in asked(Visitor(LOADED), "what", *[dot] * 5000).notice
    large = written(tmp_path / "large.png", page_attack.png(13_000, 13_000, rows=0))
    assert asked(Visitor(LOADED), "what", large).notice.startswith("large.png: image has 169000000 pixels")
    larger = written(tmp_path / "larger.png", page_attack.png(60_000, 60_000, rows=0))
    assert asked(Visitor(LOADED), "what", larger).notice.startswith("larger.png: has more than 40000000 pixels")
    together = Visitor(LOADED, limits=Limits(question_pixels=5000))
    assert "8192 pixels together" in asked(together, "what", dot, dot).notice
    assert not asked(together, "what", dot).refused


@pytest.mark.parametrize("knobs", [
    Knobs(num_beams=10_000), Knobs(max_new_tokens=10**9), Knobs(temperature=float("nan")), Knobs(temperature=-1),
    Knobs(num_beams=0), Knobs(top_p=0), Knobs(top_p=float("nan")), Knobs(seed=-1), Knobs(seed=2**32),
])
def test_settings_outside_the_panel_are_refused(knobs: Knobs) -> None:
    assert "outside what the panel offers" in asked(Visitor(LOADED), "what", knobs=knobs).notice


def test_a_system_text_without_end_is_refused() -> None:
    knobs = Knobs(system="x" * 5000)
    assert "the system text has 5000 characters, more than 4000" in asked(Visitor(LOADED), "what", knobs=knobs).notice


def test_a_conversation_has_an_end_too() -> None:
    visitor = Visitor(LOADED, limits=Limits(conversation_characters=30))
    assert not asked(visitor, "what is this").refused
    assert "clear it and start a new one" in asked(visitor, "what is this and what is that").notice


def test_half_a_surrogate_pair_is_answered() -> None:
    assert not asked(Visitor(LOADED), "\ud800 what").refused


def test_an_answer_that_takes_too_long_is_ended() -> None:
    hook = LOADED.model.llm.model.register_forward_pre_hook(lambda *_: time.sleep(0.02))
    visitor = Visitor(LOADED, limits=Limits(answer_seconds=0.1))
    view = asked(visitor, "what is this", knobs=Knobs(max_new_tokens=300))
    hook.remove()
    assert view.notice == ENGLISH.out_of_time and view.messages[-1].text.endswith("[…]")
    visitor.begin()
    assert not asked(visitor, "and this").refused


def test_what_nobody_foresaw_is_a_sentence(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    visitor = Visitor(LOADED)

    def broken(*_: object, **__: object) -> None:
        raise ValueError("/srv/secret/weights.bin")

    monkeypatch.setattr(visitor.chat.engine, "answer", broken)
    view = asked(visitor, "what is this")
    assert view == View((), ENGLISH.failed, refused=True) and "/srv/secret" in caplog.text


def test_no_sentence_names_a_folder(tmp_path: Path) -> None:
    for content in (b"", b"GIF89a", page_attack.rose()[:400], b"II*\x00\xff\xff\xff\xff"):
        file = written(tmp_path / "a folder" / "x.png", content)
        view = asked(Visitor(LOADED), "what", file)
        assert view.refused and view.notice.startswith("x.png: ") and str(tmp_path) not in view.notice
    assert "not on the server any more" in asked(Visitor(LOADED), "what", str(tmp_path / "gone.png")).notice


def test_the_line_is_first_come_first_served_and_has_an_end() -> None:
    line, order, never = Line(3, 2, 60), [], threading.Event()

    def come(name: str) -> None:
        with line.place(name, never):
            order.append(name)

    with line.place("a", never):
        others = [threading.Thread(target=come, args=(name,)) for name in "bc"]
        for number, other in enumerate(others):
            other.start()
            while len(line) < number + 2:
                time.sleep(0.001)
        with pytest.raises(UserError, match="3 questions are waiting already"), line.place("d", never):
            pass
        assert order == []
    for other in others:
        other.join(5)
    assert order == ["b", "c"] and len(line) == 0


def test_one_person_has_two_places_at_most() -> None:
    line, never = Line(9, 1, 60), threading.Event()
    with line.place("a", never), pytest.raises(UserError, match="has not been answered yet"), line.place("a", never):
        pass


def test_who_stopped_or_left_holds_nobody_up() -> None:
    line, stopped, never = Line(9, 2, 60), threading.Event(), threading.Event()
    held = line.place("a", never)
    held.__enter__()
    stopped.set()
    with line.place("b", stopped):
        pass
    line.leave("a")
    with line.place("c", never):
        assert len(line) == 1


def test_who_is_overdue_loses_the_place() -> None:
    line, never = Line(9, 2, 0.05), threading.Event()
    first = line.place("a", never)
    first.__enter__()
    time.sleep(0.1)
    with line.place("b", never):
        assert len(line) == 1


def test_a_waiting_question_is_refused_where_the_line_is_full() -> None:
    visitor = Visitor(LOADED, line=Line(0, 1, 60))
    assert "questions are waiting already" in asked(visitor, "what is this").notice
    assert list(visitor.ask("what", [], SHORT, CHINESE))[-1].notice == CHINESE.mistakes["page.busy"]


def test_an_upload_has_one_owner_and_goes_with_the_conversation(uploads: Uploads) -> None:
    files = [uploads.adopt(written(uploads.folder / "hash" / "rose.png", page_attack.rose()[:50])) for _ in range(2)]
    assert files[0] != files[1] and all(Path(file).name == "rose.png" for file in files)
    assert not (uploads.folder / "hash").exists()
    first, second = Visitor(LOADED, uploads=uploads), Visitor(LOADED, uploads=uploads)
    asked(first, "what", files[0])
    asked(second, "what", files[1])
    first.clear()
    assert [Path(file).exists() for file in files] == [False, True]
    second.end()
    assert uploads.usage() == (0, 0)


def test_the_same_content_at_once_is_two_files(uploads: Uploads) -> None:
    path = written(uploads.folder / "hash" / "rose.png", b"rose")
    both = [uploads.adopt(path), uploads.adopt(path)]
    assert [Path(file).read_bytes() for file in both] == [b"rose", b"rose"]


def test_files_of_all_are_bounded_and_unasked_ones_make_way(uploads: Uploads) -> None:
    with pytest.raises(UserError, match="has 0 MB, more than 0"), uploads.room_for(601):
        pass
    old = uploads.adopt(written(uploads.folder / "h" / "old.png", bytes(500)))
    with uploads.room_for(600):
        assert not Path(old).exists()
        with pytest.raises(UserError, match="no room for more files"), uploads.room_for(500):
            pass
    kept = uploads.adopt(written(uploads.folder / "h" / "kept.png", bytes(500)))
    assert uploads.claim(kept) and not uploads.claim(kept) and not uploads.claim("/etc/passwd")
    with pytest.raises(UserError, match="no room for more files"), uploads.room_for(600):
        pass
    assert Path(kept).exists()


def test_uploads_without_a_question_and_halves_of_uploads_are_swept(uploads: Uploads) -> None:
    file = uploads.adopt(written(uploads.folder / "h" / "x.png", b"x"))
    written(uploads.folder / "tmp_half", b"half")
    uploads.sweep()
    assert Path(file).exists()
    time.sleep(0.25)
    uploads.sweep()
    assert uploads.usage() == (0, 0)


def test_visitors_who_leave_or_fall_asleep_are_freed(uploads: Uploads) -> None:
    visitors = Visitors(LOADED, uploads, Limits(visitors=2, idle_seconds=0.05))
    first = visitors.of("a")
    asked(first, "what is this")
    assert visitors.memory.nbytes > 0 and visitors.of("a") is first
    visitors.leave("a")
    assert first.ended and first.chat.cache.nbytes == 0 and len(visitors) == 0
    sleeper = visitors.of("b")
    asked(sleeper, "what is this")
    time.sleep(0.1)
    visitors.sweep()
    assert sleeper.messages == [] and asked(visitors.of("b"), "what").notice.startswith(ENGLISH.idle)
    assert not asked(sleeper, "what").notice.startswith(ENGLISH.idle)
    visitors.of("c")
    visitors.of("d")
    assert sleeper.ended and len(visitors) == 2
    visitors.close()
    assert len(visitors) == 0


TOKEN, OTHER = "a" * 64, "b" * 64


def test_who_comes_back_with_a_token_finds_the_conversation(uploads: Uploads) -> None:
    visitors = Visitors(LOADED, uploads, Limits(away_seconds=0.2))
    first = visitors.arrive("one", TOKEN)
    asked(first, "what is this")
    visitors.leave("one")
    assert len(visitors) == 1 and first.messages
    assert visitors.arrive("two", OTHER) is not first and visitors.arrive("three", TOKEN) is first
    visitors.leave("three")
    assert visitors.of("three") is first, "a connection that was lost and came back"
    visitors.leave("three")
    time.sleep(0.25)
    visitors.sweep()
    assert first.ended and first.messages == [] and visitors.arrive("four", TOKEN) is not first


def test_a_page_that_is_loaded_anew_may_arrive_before_its_old_self_has_left(uploads: Uploads) -> None:
    visitors = Visitors(LOADED, uploads, Limits())
    first = visitors.arrive("one", TOKEN)
    asked(first, "what is this")
    assert visitors.arrive("two", TOKEN) is first
    visitors.leave("one")
    assert not first.ended and visitors.of("two") is first and len(visitors) == 1


@pytest.mark.parametrize("token", ["", "a", "A" * 64, "a" * 65, "a" * 63 + "\n", "../" * 21 + "a"])
def test_what_is_no_token_brings_nobody_back(uploads: Uploads, token: str) -> None:
    visitors = Visitors(LOADED, uploads, Limits())
    first = visitors.arrive("one", token)
    asked(first, "what is this")
    visitors.leave("one")
    assert first.ended and visitors.arrive("two", token) is not first


def test_those_who_left_make_way_for_new_ones_and_for_their_uploads(uploads: Uploads) -> None:
    visitors = Visitors(LOADED, uploads, Limits(visitors=2))
    here, gone = visitors.arrive("one", TOKEN), visitors.arrive("two", OTHER)
    visitors.leave("two")
    visitors.of("three")
    assert gone.ended and not here.ended and len(visitors) == 2
    again = visitors.arrive("one", TOKEN)
    file = uploads.adopt(written(uploads.folder / "h" / "x.png", bytes(500)))
    asked(again, "what", file)
    visitors.leave("one")
    assert again is here and Path(file).exists()
    with uploads.room_for(600):
        assert not Path(file).exists() and here.ended


def test_the_private_folder_is_named_to_gradio_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/elsewhere")
    import os

    with PrivateFolder() as folder, PrivateFolder() as same:
        assert os.environ[VARIABLE] == str(folder.path) == str(same.path) and folder.path.is_dir()
        assert folder.path.stat().st_mode & 0o77 == 0
    assert os.environ[VARIABLE] == "/elsewhere" and not folder.path.exists()


def test_user_and_password() -> None:
    assert credentials(None) is None and credentials("me:a:b") == ("me", "a:b")
    for given in ("me", "me:", ":word", ""):
        with pytest.raises(UserError, match="write --auth user:password"):
            credentials(given)


def test_an_open_page_is_announced() -> None:
    assert warning("127.0.0.1", share=False, auth=False) == warning("0.0.0.0", share=False, auth=True) == ""
    assert "every machine that reaches this one" in warning("0.0.0.0", share=False, auth=False)
    assert "everybody who learns its address" in warning("127.0.0.1", share=True, auth=False)


def test_this_machine_is_asked_without_a_proxy() -> None:
    environment = {"no_proxy": "intranet, localhost"}
    bypass_proxies("10.0.0.5", environment)
    assert environment["no_proxy"] == "intranet,localhost,127.0.0.1,::1,10.0.0.5"
    assert environment["NO_PROXY"] == "127.0.0.1,localhost,::1,10.0.0.5"
