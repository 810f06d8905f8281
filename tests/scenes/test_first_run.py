"""The page that shows how the embedded default learned: from logs, whole in one file, everything escaped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from minigpt4.scenes.first_run.exam import Answered, names_subject, subjects_named
from minigpt4.scenes.first_run.learning import MOST_ROUNDS, read_learning
from minigpt4.scenes.first_run.page import page


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """Logs of two stages of which each was watched four times."""
    Image.new("RGB", (8, 8), (200, 30, 30)).save(tmp_path / "a.png")
    found = {}
    for number, stage in enumerate(("stage 1", "stage 2"), start=1):
        found[stage] = tmp_path / f"run{number}"
        found[stage].mkdir()
        lines = [{"kind": "step", "step": step, "loss": 3.0 / step} for step in (1, 2, 3)]
        lines += [{"kind": "watch", "step": step, "answers": [{
            "image": str(tmp_path / "a.png"), "question": "What <b>?", "wanted": "A star.", "said": f"{stage} {step}",
        }]} for step in (0, 1, 2, 3)]
        (found[stage] / "log.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return found


def test_the_first_round_and_the_last_of_each_stage_are_shown(runs: dict[str, Path]) -> None:
    learning = read_learning(runs)
    assert learning.losses["stage 2"] == [(1, 3.0), (2, 1.5), (3, 1.0)]
    assert len(learning.rounds) == MOST_ROUNDS
    assert learning.rounds[0].moment == "before training" and learning.rounds[-1].moment == "stage 2, step 3"
    assert "stage 1, step 3" in {each.moment for each in learning.rounds}
    assert [each.step for each in learning.rounds].count(0) == 1


def test_the_page_is_one_file_that_asks_no_other_host(runs: dict[str, Path], tmp_path: Path) -> None:
    answered = [Answered(tmp_path / "a.png", "<script>", "A star.", "A <i>car.", False)]
    text = page(read_learning(runs), answered, vocabulary=1000, knows="Trained on <all>.")
    assert "guessing: ln V = 6.91" in text and "0 of 1 answers right" in text and "before training" in text
    assert not re.search(r"https?://|<script|<b>|<i>|<all>", text)
    assert text.count("data:image/png;base64,") == 2


@pytest.mark.parametrize(("said", "language", "subjects"), [
    ("This is a photograph of a pair of trousers.", "en", {"trousers"}),
    ("I see a tulip and a rose.", "en", {"tulip", "rose"}),
    ("这是一张郁金香的照片。", "zh", {"tulip"}), ("我不知道这是什么。", "zh", set()),
])
def test_subjects_are_found_in_answers(said: str, language: str, subjects: set[str]) -> None:
    assert subjects_named(said, language) == subjects
    assert names_subject(said, "tulip", language) == (subjects == {"tulip"})
