"""One HTML page of wrong answers, with their images: what a model misses, at a glance."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from minigpt4.scenes.exam.scoring import Figures, Prediction

SHOWN = 12
"""wrong answers of a type, language and split; the first ones, not hand-picked"""

_HEAD = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Wrong answers about scenes</title>
<style>
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td:first-child { text-align: left }
td, th { padding: .2rem .7rem; text-align: right }
tr + tr { border-top: 1px solid #8884 }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem }
figure { margin: 0 } img { width: 100%; image-rendering: pixelated; border-radius: .4rem }
figcaption { font-size: .85rem } .wanted { color: #2a8f4a } .said { color: #d04545 }
</style>
"""


def page(predictions: Sequence[Prediction], figures: Mapping[str, Figures], model: str) -> str:
    """The page as text.

    Args:
        predictions: of all splits.
        figures: split -> its numbers.
        model: what was asked.
    """
    parts = [_HEAD, f"<h1>Wrong answers</h1><p>{html.escape(model)}</p>"]
    for split, numbers in figures.items():
        parts.append(f"<h2>{split} <small>{numbers.scenes} scenes</small></h2>{_table(numbers)}")
        parts += _sections([each for each in predictions if each.split == split])
    return "\n".join(parts) + "\n"


def _table(figures: Figures) -> str:
    """Shares of right answers by type, one column a language."""
    languages = list(figures.questions)
    rows = ["<tr><td>type</td>" + "".join(f"<th>{language}</th>" for language in languages) + "</tr>"]
    for type in figures.questions[languages[0]]:
        cells = "".join(f"<td>{figures.questions[language][type]:.2f}</td>" for language in languages)
        rows.append(f"<tr><td>{type.replace('_', ' ')}</td>{cells}</tr>")
    return "<table>" + "".join(rows) + "</table>"


def _sections(predictions: Sequence[Prediction]) -> list[str]:
    """A section for every type and language that has wrong answers."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for each in predictions:
        groups.setdefault((each.type, each.language), []).append(each)
    sections = []
    for (type, language), group in groups.items():
        if wrong := [each for each in group if each.right < 1]:
            title = f"{type.replace('_', ' ')}, {language}: {len(wrong)} of {len(group)} not all right"
            tiles = "".join(map(_tile, wrong[:SHOWN]))
            sections.append(f"<h3>{title}</h3><div class=tiles>{tiles}</div>")
    return sections


def _tile(prediction: Prediction) -> str:
    image = base64.b64encode(Path(prediction.image).read_bytes()).decode()
    question, wanted, said = map(html.escape, (prediction.question, prediction.reference, prediction.answer))
    return (
        f"<figure><img src='data:image/png;base64,{image}' alt=''><figcaption>{question}<br>"
        f"<span class=wanted>{wanted}</span><br><span class=said>{said or '(nothing)'}</span></figcaption></figure>"
    )
