"""The benchmark of the photographs: its figures, its sheets and its page, without training anything."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.photos import Bar, Said, StageFigures, bars, extract_held_out, read_captions, scores, thinned
from benchmarks.photos_page import apart, credits_of, page, sheet, spread

WORDS = ["rose", "tulip"]
SAID = [
    Said("0.jpg", "rose", "a red rose.", "stop"), Said("1.jpg", "rose", "a tulip", "stop"),
    Said("2.jpg", "tulip", "a tulip or a rose", "length"), Said("3.jpg", "tulip", "roses and a Tulip", "stop"),
]


def figures(score: float, *, minutes: float = 5, ends: float = 1) -> StageFigures:
    return StageFigures(cpu_minutes=minutes, wall_minutes=1, score=score, ends_properly=ends,
                        score_per_class={"rose": score, "tulip": score}, confusions={"rose -> tulip": 3},
                        curve=[{"step": 1, "loss": 2.0}])


def test_scores_count_exactly_one_class_word_and_proper_ends() -> None:
    found = scores(SAID, WORDS)
    assert found["score"] == 0.5 and found["ends_properly"] == 0.75
    assert found["score_per_class"] == {"rose": 0.5, "tulip": 0.5}
    assert found["confusions"] == {"rose -> tulip": 1}
    right, wrong = apart(SAID, WORDS)
    assert [each.image for each in right] == ["0.jpg", "3.jpg"] and len(wrong) == 2


def test_images_are_taken_in_turn_from_every_class() -> None:
    assert [each.image for each in spread(SAID, 3)] == ["0.jpg", "2.jpg", "1.jpg"]


def test_u25_the_recorded_curve_keeps_means_of_stretches() -> None:
    assert thinned([(step, float(step)) for step in range(1, 6)], 2) == [
        {"step": 3, "loss": 2.0}, {"step": 5, "loss": 4.5}]


@pytest.mark.parametrize(("first", "second", "missed"), [
    (figures(0.7), figures(0.69), []),
    (figures(0.5), figures(0.5), ["score after stage 1"]),
    (figures(0.7, minutes=12), figures(0.6, ends=0.9),
     ["CPU-minutes of both stages", "score lost by stage 2", "captions that end properly after stage 2"]),
])
def test_bars_are_met_or_named(first: StageFigures, second: StageFigures, missed: list[str]) -> None:
    assert [bar.figure for bar in bars({1: first, 2: second}) if not bar.met] == missed


def test_held_out_images_come_out_of_their_shards_with_their_class(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name, content in {"7.jpg": b"image", "7.txt": b"a rose", "7.json": b'{"class": "rose"}'}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert extract_held_out([tmp_path / "00000.tar"], tmp_path / "images") == {"7.jpg": "rose"}
    assert (tmp_path / "images" / "7.jpg").read_bytes() == b"image"
    lines = tmp_path / "captions.jsonl"
    lines.write_text(json.dumps({"image": f"{tmp_path}/images/7.jpg", "caption": "a rose", "reason": "stop"}))
    assert read_captions(lines, {"7.jpg": "rose"}) == [Said("7.jpg", "rose", "a rose", "stop")]
    with pytest.raises(AssertionError, match="one caption"):
        read_captions(lines, {"7.jpg": "rose", "8.jpg": "tulip"})


def test_a_sheet_shows_images_whole_with_all_words(tmp_path: Path) -> None:
    Image.new("RGB", (300, 60), "red").save(tmp_path / "a.png")
    short, long = sheet([(tmp_path / "a.png", "a rose")] * 7), sheet([(tmp_path / "a.png", "a rose " * 200)] * 7)
    assert short.width == long.width and long.height > short.height + 2 * 11 * 13 - 1
    assert short.getpixel((90, 90)) == (255, 0, 0) and short.getpixel((90, 15)) == (238, 238, 238)


def test_the_page_says_what_the_results_say(tmp_path: Path) -> None:
    from dataclasses import asdict

    stages = {1: figures(0.71), 2: figures(0.65)}
    results = {
        "seed": 7, "machine": {"processor": "abacus"}, "versions": {"python": "3", "torch": "2", "transformers": "5",
                                                                   "commit": "abc"}, "held_out": 500,
        "bars": [{**asdict(bar), "met": bar.met} for bar in bars(stages)],
        "stages": {f"stage{stage}": asdict(each) for stage, each in stages.items()},
    }
    text = page(results)
    assert "| right captions | 0.710 | 0.650 |" in text and "| tulip | 0.71 | 0.65 |" in text
    assert "abacus" in text and "**missed**" in text and "photos_stage2_wrong.jpg" in text
    (tmp_path / "c.tsv").write_text("sample\tsource\nval/1\tx\nval/2\ty\n")
    assert credits_of(tmp_path / "c.tsv", {"2"}) == "sample\tsource\nval/2\ty\n"


def test_a_bar_may_be_a_ceiling() -> None:
    assert Bar("x", 1.0, 1.0, at_most=True).met and not Bar("x", 1.1, 1.0, at_most=True).met


def test_u25_results_tell_config_seed_commit_and_curve_of_a_run(tmp_path: Path) -> None:
    """"Is my loss normal?": what a recorded run must say to be compared with."""
    from benchmarks.machine import machine, versions
    from benchmarks.photos import figures_of

    run = tmp_path / "stage1"
    run.mkdir()
    (tmp_path / "stage1_cost.json").write_text('{"cpu_minutes": 1.5, "wall_minutes": 2.0}')
    steps = [{"kind": "step", "step": step, "loss": 3.0 / step} for step in range(1, 101)]
    lines = [*steps, {"kind": "valid", "step": 100, "split": "val", "loss": 0.5, "image_gap": 0.1}]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = figures_of(SAID, WORDS, run)
    assert found.curve[0]["loss"] > found.curve[-1]["loss"] and found.curve[-1]["step"] == 100
    assert found.validation == {"loss": 0.5, "image_gap": 0.1} and found.cpu_minutes == 1.5
    assert {"python", "torch", "commit"} <= set(versions("torch")) and machine()["cores"] >= 1
