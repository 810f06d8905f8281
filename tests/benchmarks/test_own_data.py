"""The benchmark of own data: its lines and its bars, without training anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

from benchmarks.own_data import ASKED, CASES, CLASSES, TRAINED, Measured, bars, write_lines

GOOD = Measured(1, 0.9, 0.9, 60.0)
LATIN = Measured(1, 0.0, 0.0, 60.0, ["warning: … hardly knows these texts …", "warning: … are hardly used …"])


def test_photographs_are_drawn_by_class_and_named_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "all").mkdir()
    classes = {f"{word}_{number}.jpg": word for word in (*CLASSES, "trousers") for number in range(TRAINED + 5)}
    for name in classes:
        (tmp_path / "all" / name).write_bytes(b"image")
    chosen = write_lines(tmp_path, "train", tmp_path / "all", classes, TRAINED, CASES[0], Random(1))
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert len(lines) == len(chosen) == 3 * TRAINED == 60 and 3 * ASKED == 48
    assert lines[0] == {"image": next(iter(chosen)), "caption": f"There is a {CLASSES[0]} in the picture."}
    again = write_lines(tmp_path, "other", tmp_path / "all", classes, TRAINED, CASES[0], Random(2))
    assert again != chosen


def test_bars_are_met_or_named() -> None:
    good = {"projection": [GOOD], "lora": [GOOD], "latin": [LATIN]}
    assert all(bar.met for bar in bars(good))
    bad = {"projection": [replace(GOOD, right=0.7)], "lora": [replace(GOOD, cpu_seconds=200)], "latin": [GOOD]}
    assert [bar.figure for bar in bars(bad) if not bar.met] == [
        "projection, seed 1: right", "lora, seed 1: CPU-seconds", "latin: warned before training",
        "latin: warned after training"]
