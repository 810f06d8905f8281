"""The loss curve of a run as an image, drawn from its `log.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minigpt4.common.files import atomic_file


def read_log(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Lines of a `log.jsonl` by their kind (`step`, `valid`, `test`); a line that was cut is left out."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        by_kind.setdefault(entry["kind"], []).append(entry)
    return by_kind


def draw_curve(log: Path, image: Path) -> None:
    """Training and validation loss, and the learning rate below, over optimizer steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = read_log(log)
    steps = [entry for entry in entries.get("step", []) if isinstance(entry["loss"], float)]
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([entry["step"] for entry in steps], [entry["loss"] for entry in steps], linewidth=0.8, label="training")
    for split in sorted({entry["split"] for entry in entries.get("valid", [])}):
        points = [entry for entry in entries["valid"] if entry["split"] == split and "loss" in entry]
        above.plot([point["step"] for point in points], [point["loss"] for point in points], "o-", label=split)
    above.set_ylabel("loss per token")
    above.legend()
    below.plot([entry["step"] for entry in steps], [entry["lr"] for entry in steps])
    below.set_ylabel("learning rate")
    below.set_xlabel("optimizer step")
    with atomic_file(image) as part:
        figure.savefig(part, format="png", dpi=120)
