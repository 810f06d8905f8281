"""What an evaluation leaves behind: every answer, the numbers with what they were measured on, the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from minigpt4.common.files import atomic_file, write_json
from minigpt4.scenes.exam.page import page
from minigpt4.scenes.exam.scoring import Figures, Prediction, as_json


def write_report(folder: Path, model: str, predictions: Sequence[Prediction], figures: Mapping[str, Figures]) -> None:
    """Write `predictions.jsonl`, `results.json` and `wrong.html`; each is whole or the old one."""
    with atomic_file(folder / "predictions.jsonl") as part:
        lines = (json.dumps(asdict(prediction), ensure_ascii=False) for prediction in predictions)
        part.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    with atomic_file(folder / "wrong.html") as part:
        part.write_text(page(predictions, figures, model), encoding="utf-8")
    write_json(folder / "results.json", {
        "model": model, "decoding": "greedy",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "splits": {split: as_json(numbers) for split, numbers in figures.items()},
    })
