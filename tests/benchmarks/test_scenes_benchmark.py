"""The benchmark of the embedded default: its bars and its page, without training anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.scenes import MOMENTS, SPLITS, bars
from benchmarks.scenes_page import PAIR_TYPES, page
from minigpt4.scenes.exam.scoring import PAIR_TYPES as MEASURED_PAIR_TYPES
from minigpt4.scenes.exam.scoring import QUESTION_TYPES, Figures, as_json

COST = {"stage1": 250.0, "stage2": 90.0}


def split(share: float) -> dict[str, Any]:
    by_type = {**{str(type): share for type in QUESTION_TYPES}, "mean": share, "pair_mean": share}
    both = {"en": by_type, "zh": by_type}
    return as_json(Figures(scenes=3, questions=both, majority=both, descriptions={"en": share, "zh": share},
                           captions=share, ends_properly=share, form=share, form_faults={"broken off": 1 - share}))


def figures(**shares: float) -> dict[str, dict[str, Any]]:
    known = {"before": 0.3, "stage1": 0.95, "stage2": 0.95, "ceiling": 0.98, **shares}
    return {moment: {name: split(known[moment]) for name in SPLITS} for moment in MOMENTS}


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"before": 0.5}, ["before training, the best mean"]),
        ({"ceiling": 0.9}, ["the ceiling, the worst mean"]),
        ({"stage1": 0.99}, ["attributes of captions lost by stage 2"]),
        ({"stage2": 0.92, "stage1": 0.92}, ["English, mean of the nine types, seen",
                                            "attributes of descriptions, seen"]),
    ],
)
def test_bars_are_met_or_named(changed: dict[str, float], missed: list[str]) -> None:
    assert [bar.figure for bar in bars(figures(**changed), COST) if not bar.met] == missed


def test_time_has_a_bar() -> None:
    slow = bars(figures(), {"stage1": 350.0, "stage2": 60.0})
    assert [bar.figure for bar in slow if not bar.met] == ["CPU-seconds of both stages"]


def test_the_page_says_what_the_results_say() -> None:
    measured = figures(stage2=0.91)
    results = {
        "held_out_variant": 1, "seed": 7, "machine": {"processor": "abacus"}, "cpu_seconds": COST, "figures": measured,
        "versions": {"python": "3", "torch": "2", "transformers": "5", "commit": "abc"},
        "bars": [{**asdict(bar), "met": bar.met} for bar in bars(measured, COST)],
    }
    text = page(results)
    assert "| *what is at* | 0.91 | 0.91 | 0.30 | 0.30 | 0.95 | 0.95 | 0.91 | 0.91 | 0.98 | 0.98 |" in text
    assert "250 and 90 CPU-seconds. 3 fresh scenes" in text and "**missed**" in text
    assert "broken off 0.05" in text and "broken off 0.09" in text


def test_the_page_marks_the_types_that_are_measured_apart() -> None:
    assert set(PAIR_TYPES) == set(MEASURED_PAIR_TYPES)
