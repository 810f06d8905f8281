"""Scenes evaluated: every question is asked once, in the right template, and numbers follow from the answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.evaluation.asking import Asked, Gallery, answers
from minigpt4.generation.engine import Answer
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.scenes.data.files import ScenesPlan, write_scenes
from minigpt4.scenes.data.splits import AskedScene, read_split
from minigpt4.scenes.exam import scoring as evaluation
from minigpt4.scenes.exam.ceiling import in_words
from minigpt4.scenes.exam.report import write_report
from minigpt4.scenes.exam.scoring import BARE, PAIR_TYPES, figures, number_of_answers, predict
from minigpt4.scenes.tasks.scene_words_pretrain import WordImages
from minigpt4.scenes.words.captions import describe
from minigpt4.scenes.words.languages import LANGUAGES
from minigpt4.scenes.words.questions import QUESTION_TYPES
from minigpt4.scenes.words.word_vectors import SLOTS
from tests import tiny
from tests.cli.pages import write_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation") / "scenes"
    write_scenes(folder, ScenesPlan(stage1=1, stage2=1, dialogues=1, newcomers=1, eval=6))
    return folder


@pytest.fixture
def seen(folder: Path) -> list[AskedScene]:
    return read_split(folder / "seen")


def _answering(monkeypatch: pytest.MonkeyPatch, seen: list[AskedScene], say) -> list[str]:  # noqa: ANN001
    """Every question is answered by `say(scene, question)`; returns the list of templates that were used."""
    used: list[str] = []

    def fake(loaded, gallery, questions, settings, *, batch_size, advance):  # noqa: ANN001, ANN202
        used.append(loaded.renderer.chat.name)
        advance(len(questions))
        return [Answer((), say(seen[asked.image], asked.question), "stop", 1) for asked in questions]

    monkeypatch.setattr(evaluation, "answers", fake)
    return used


def _truth(scene: AskedScene, question: str) -> str:
    """The right answer to every question; the description where nothing is asked."""
    known = {exchange.question: exchange.answer for exchange in scene.exchanges}
    return known.get(question) or describe(scene.scene, "en")


def test_right_answers_score_one_everywhere(monkeypatch: pytest.MonkeyPatch, seen: list[AskedScene]) -> None:
    used = _answering(monkeypatch, seen, _truth)
    loaded, counted = tiny.model(template="vicuna_v0"), list[int]()
    said = predict(loaded, "seen", seen, advance=counted.append)
    found = figures(said)
    assert len(said) == sum(counted) == number_of_answers(seen)
    for language in LANGUAGES:
        assert set(found.questions[language].values()) == {1.0} and found.descriptions[language] == 1.0
        assert 0 < found.majority[language]["mean"] < 1
    assert (found.captions, found.form, found.ends_properly, found.scenes) == (1.0, 1.0, 1.0, 6)
    assert used == ["vicuna_v0"] * (len(used) - 1) + ["plain"], "captions as in stage 1, all else as in stage 2"


def test_one_answer_to_everything_scores_badly(monkeypatch: pytest.MonkeyPatch, seen: list[AskedScene]) -> None:
    _answering(monkeypatch, seen, lambda scene, question: "a red star")
    found = figures(predict(tiny.model(template="plain"), "seen", seen))
    assert found.questions["en"]["mean"] < 0.3 and found.descriptions["en"] < 0.3
    assert found.form == 0.0 and found.form_faults == {"bare caption": 1.0}


def test_means_are_of_the_types(monkeypatch: pytest.MonkeyPatch, seen: list[AskedScene]) -> None:
    _answering(monkeypatch, seen, lambda scene, question: "Yes." if "Is there" in question else _truth(scene, question))
    found = figures(predict(tiny.model(), "seen", seen)).questions["en"]
    assert found["mean"] == pytest.approx(sum(found[type] for type in QUESTION_TYPES) / 9)
    assert found["pair_mean"] == pytest.approx(sum(found[type] for type in PAIR_TYPES) / 4)


def test_stage_1_models_are_asked_in_the_template_of_stage_2(monkeypatch: pytest.MonkeyPatch,
                                                             seen: list[AskedScene]) -> None:
    used = _answering(monkeypatch, seen, _truth)
    predict(tiny.model(template="plain"), "seen", seen[:1])
    assert set(used) == {"plain", "vicuna_v0"}


def test_batched_answers_are_those_of_a_chat(seen: list[AskedScene]) -> None:
    loaded = tiny.model(template="plain").in_template("vicuna_v0")
    settings, question = DecodingSettings(max_new_tokens=6), "what is this"
    gallery = Gallery.encode(loaded, [scene.image for scene in seen[:3]])
    given = answers(loaded, gallery, [Asked(number, question) for number in (2, 0)], settings, batch_size=1)
    single = [Chat(loaded, settings).answer(question, [seen[number].image]) for number in (2, 0)]
    assert [answer.text for answer in given] == single


def test_the_report_holds_answers_numbers_and_images(monkeypatch: pytest.MonkeyPatch, seen: list[AskedScene],
                                                     tmp_path: Path) -> None:
    _answering(monkeypatch, seen, lambda scene, question: "<nothing> & more.")
    said = predict(tiny.model(), "seen", seen)
    write_report(tmp_path, "some/model", said, {"seen": figures(said)})
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == len(said) and {line["type"] for line in lines} >= {*QUESTION_TYPES, BARE}
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["model"] == "some/model" and results["splits"]["seen"]["questions"]["en"]["colour"] == 0.0
    text = (tmp_path / "wrong.html").read_text()
    assert "&lt;nothing&gt; &amp; more." in text and "data:image/png;base64," in text and "colour, zh" in text


def test_the_command_from_bundle_to_report(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(tmp_path / "bundle", template="vicuna_v0")
    words = ["eval", "--model", str(tmp_path / "bundle"), "--scenes", str(folder), "--output", str(tmp_path / "out"),
             "--split", "held_out", "--limit", "1", "--device", "cpu"]
    assert main(words) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["splits"]) == ["held_out"] and results["splits"]["held_out"]["scenes"] == 1
    assert "held_out zh" in capsys.readouterr().out


def test_missing_scenes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(tmp_path / "bundle", template="vicuna_v0")
    words = ["eval", "--model", str(tmp_path / "bundle"), "--scenes", str(tmp_path / "none")]
    assert main(words) == 2
    assert "minigpt4 data scenes --output" in capsys.readouterr().err


def test_a_tokenizer_that_cuts_the_words_has_no_ceiling(seen: list[AskedScene]) -> None:
    with pytest.raises(UserError, match="into . pieces"):
        in_words(tiny.model(), seen)


def test_the_ceiling_shows_a_scene_in_each_language(seen: list[AskedScene], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WordImages, "_id", lambda self, word: len(word))
    loaded = tiny.model()
    galleries = in_words(loaded, seen)
    assert set(galleries) == set(LANGUAGES)
    assert galleries["en"].tokens.shape == (len(seen), SLOTS, loaded.model.llm.width)
    assert not galleries["en"].tokens.equal(galleries["zh"].tokens)
