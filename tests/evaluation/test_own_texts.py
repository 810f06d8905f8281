"""Own texts asked and reported: what a line asks, what counts, a page that obeys nobody, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt4.cli.main import main
from minigpt4.datasets.own_texts import read_own_texts
from minigpt4.evaluation.own_report import Asked, page
from minigpt4.evaluation.own_texts import (
    Question,
    Result,
    ask,
    longest_answer,
    questions_of,
    text_figures,
)
from minigpt4.generation.settings import DecodingSettings
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests import tiny
from tests.cli.pages import write_bundle, write_images

TURNS = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A rose."},
         {"from": "human", "value": "Its colour?"}, {"from": "gpt", "value": "Red."}]

WriteTexts = Callable[[list[dict[str, Any]]], Path]


@pytest.fixture
def write_texts(tmp_path: Path) -> WriteTexts:
    """Lines -> their JSONL, beside a folder of two images."""
    write_images(tmp_path / "mine", "a.png", "below/b.png")

    def write(lines: list[dict[str, Any]]) -> Path:
        path = tmp_path / "mine.jsonl"
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        return path
    return write


def result(said: str, *wanted: str, reason: str = "stop") -> Result:
    image = ImageRef(data=b"", name="a.png")
    asked = Conversation((Turn("user", IMAGE_MARK),), (image,))
    return Result(Question(asked, wanted), said, reason)


def test_what_lines_ask(tmp_path: Path, write_texts: WriteTexts) -> None:
    """Equal questions about an image are one with several references; each answer of a dialogue is asked for."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("<Img><ImageHere></Img> Describe it.\nAnother one <ImageHere>\n")
    loaded = tiny.model(prompt_path=str(prompts))
    texts = write_texts([{"image": "a.png", "caption": "A rose."}, {"image": "below/b.png", "conversations": TURNS},
                         {"image": "a.png", "text": "One rose."}, {"image": "a.png", "caption": "A rose."}])
    questions = questions_of(read_own_texts(tmp_path / "mine", texts).samples, loaded.renderer)
    assert [(question.text, question.wanted) for question in questions] == [
        ("Describe it.", ("A rose.", "One rose.")), ("What is it?", ("A rose.",)), ("Its colour?", ("Red.",))]
    assert [turn.text for turn in questions[2].conversation.turns[1:]] == ["A rose.", "Its colour?"]
    assert questions[1].conversation.images[0].path == (tmp_path / "mine" / "below" / "b.png").resolve()
    longest = max(len(loaded.tokenizer.encode(text, specials=False)) for text in ("A rose.", "One rose.", "Red."))
    assert longest_answer(questions, loaded.tokenizer) == longest + 20
    assert len(read_own_texts(tmp_path / "mine", texts, limit=1).samples) == 1


def test_answers_are_those_of_the_chat_in_any_batch(tmp_path: Path, write_texts: WriteTexts) -> None:
    loaded, settings = tiny.model(), DecodingSettings(max_new_tokens=6)
    lines = [{"image": "a.png", "caption": "x"}, {"image": "below/b.png", "conversations": TURNS}]
    samples = read_own_texts(tmp_path / "mine", write_texts(lines)).samples
    questions, seen = questions_of(samples, loaded.renderer), list[int]()
    one = [each.said for each in ask(loaded, questions, settings, batch_size=1, advance=seen.append)]
    assert one == [each.said for each in ask(loaded, questions, settings, batch_size=8)] and seen == [1, 1, 1]
    from minigpt4.inference.chat import Chat

    assert one[1] == Chat(loaded, settings).answer("What is it?", [tmp_path / "mine" / "below" / "b.png"]).strip()


def test_figures() -> None:
    found = text_figures([
        result("a rose", "A rose."), result("a big rose", "A rose."),
        result("a tulip", "a rose", "one", reason="length"),
        Result(result("", "x").question, error="broken"),
    ])
    assert (found.questions, found.unreadable) == (3, 1)
    assert found.right == pytest.approx(2 / 3) and found.exact == pytest.approx(1 / 3)
    assert found.contained == pytest.approx(2.5 / 3) and found.ends_properly == pytest.approx(2 / 3)
    assert found.cider is None, "three answers with one reference each"
    assert text_figures([]).questions == 0


def test_cider_wants_several_references_or_ten_questions() -> None:
    several = [result("one red rose", "one red rose", "a rose"), result("two blue shoes", "two blue shoes", "shoes")]
    assert text_figures(several).cider is not None
    many = [result(f"w{number} x{number} y{number} z{number}", f"w{number} x{number} y{number} z{number}")
            for number in range(10)]
    assert text_figures(many).cider == pytest.approx(10.0) and text_figures(many[:9]).cider is None


def test_the_page_shows_and_obeys_nobody(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    image = ImageRef(path=tmp_path / "a.png", name="</small><script>alert(1)</script>.png")
    question = Question(Conversation((Turn("user", f"{IMAGE_MARK}<i>what</i>"),), (image,)), ("A <b>rose</b>", "红花"))
    results = [Result(question, "a <img src=x onerror=alert(1)>\x1b[2J 红"), Result(question, error="<u>broken</u>")]
    text = page(Asked("<model>", Path("t<.jsonl"), tmp_path), text_figures(results), results)
    for tag in ("<script", "<i>", "<b>rose", "<img src", "<u>", "\x1b", "<model>", "t<."):
        assert tag not in text, tag
    assert "data:image/jpeg;base64," in text and "http" not in text
    assert "<span class=said>红</span><span class=lacking>花</span>" in text
    assert "Wrong: 1 of 2" in text and "Right: 0 of 2" in text and "Unreadable: 1" in text


def test_the_command_writes_a_report(tmp_path: Path, write_texts: WriteTexts, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "bundle", template="vicuna_v0")
    (tmp_path / "mine" / "broken.png").write_bytes(b"nothing")
    lines = [{"image": "a.png", "caption": "A rose."}, {"image": "broken.png", "caption": "A tulip."}]
    command = ["eval", "bundle", "--texts", str(write_texts(lines)), "--images", "mine", "--batch-size", "1"]
    assert main([*command, "--output", "report"]) == 0
    assert "wrote report/report.html" in capsys.readouterr().out
    written = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert written["figures"]["questions"] == 1 and written["figures"]["unreadable"] == 1
    first, second = written["answers"]
    assert first["images"] == ["a.png"] and first["wanted"] == ["A rose."] and first["said"]
    assert "broken.png" in second["error"] and "said" not in second
    write_texts(lines[1:])
    assert main(command) == 1 and (tmp_path / "output" / "eval_texts" / "report.html").exists()
    write_texts(lines)
    assert main([*command, "--limit", "1"]) == 0


@pytest.mark.parametrize(("flags", "said"), [
    (["--texts", "t.jsonl"], "got --texts alone; own texts need --texts FILE.jsonl and --images DIR"),
    (["--images", "mine"], "got --images alone"), (["--texts", "t", "--images", "d", "--in-words"], "and --in-words"),
    (["--texts", "nowhere.jsonl", "--images", "mine"], "--texts nowhere.jsonl: is not a file"),
    (["--texts", "mine.jsonl", "--images", "mine"], "lines cannot be learned"),
])
def test_flags_that_do_not_go_together(flags: list[str], said: str, tmp_path: Path, write_texts: WriteTexts,
                                       monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_texts([{"image": "a.png"}])
    write_bundle(tmp_path / "bundle", template="vicuna_v0")
    assert main(["eval", "bundle", *flags]) == 2
    assert said in capsys.readouterr().err
