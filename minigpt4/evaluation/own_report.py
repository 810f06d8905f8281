"""The report about own texts: one HTML page that needs no other file, and the same as JSON beside it.

Everything that comes from people or models is escaped; images are small copies inside the page.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers

from minigpt4.common.errors import UserError, printable
from minigpt4.common.files import atomic_file, shown, write_json
from minigpt4.evaluation.own_texts import Result, TextFigures, text_figures
from minigpt4.metrics.words import split_words, words_of
from minigpt4.processors.decoding import image_name, open_image
from minigpt4.records.images import ImageRef

PAGE, DATA = "report.html", "report.json"
SIDE = 160
"""longest side of an image in the page, about 5 KB each"""
TILES = 300
"""answers of a section in the page, the first ones; the JSON has all"""

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wanted and said</title>
<style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top }
td:nth-child(2) { font-variant-numeric: tabular-nums; white-space: nowrap } tr + tr { border-top: 1px solid #8884 }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1.2rem }
figure { margin: 0 } img { max-width: 10rem; max-height: 10rem; border-radius: .4rem }
figcaption { font-size: .9rem; overflow-wrap: anywhere } small { opacity: .75 }
.said { color: #1d7a3d } .lacking { color: #c03535; text-decoration: underline }
@media (prefers-color-scheme: dark) { .said { color: #6fd08c } .lacking { color: #ff8a8a } }
</style>
"""


@dataclass(frozen=True)
class Asked:
    """What was asked: named in the report.

    Args:
        model: the bundle or YAML.
        texts: the JSONL.
        images: folder that image names are relative to.
    """

    model: str
    texts: Path
    images: Path


def write_report(folder: Path, asked: Asked, results: Sequence[Result]) -> TextFigures:
    """Write `report.html` and `report.json` into a folder, each whole or the old one; returns the figures."""
    figures = text_figures(results)
    with atomic_file(folder / PAGE) as part:
        part.write_text(page(asked, figures, results), encoding="utf-8")
    write_json(folder / DATA, {
        "model": asked.model, "texts": str(asked.texts), "images": str(asked.images), "decoding": "greedy",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "figures": asdict(figures), "answers": [_entry(result, asked.images) for result in results],
    })
    return figures


def summary(figures: TextFigures) -> list[tuple[str, str, str]]:
    """(name, number, meaning) of every figure, for the page and the terminal."""
    rows = [
        ("right", f"{figures.right:.2f}", f"share of {figures.questions} answers that have every wanted word"),
        ("exact", f"{figures.exact:.2f}", "share that is word for word what was wanted"),
        ("contained", f"{figures.contained:.2f}", "mean share of the wanted words that were said"),
        ("ends", f"{figures.ends_properly:.2f}", "share that the model ended itself"),
    ]
    if figures.cider is not None:
        rows.append(("CIDEr-D", f"{figures.cider:.2f}", "agreement of wordings, rare ones counting most; 0 to 10"))
    if figures.unreadable:
        rows.append(("unreadable", str(figures.unreadable), "questions whose image could not be read, not counted"))
    return rows


def page(asked: Asked, figures: TextFigures, results: Sequence[Result]) -> str:
    """The page as text."""
    rows = "".join(f"<tr><td>{name}</td><td>{number}</td><td>{meaning}</td></tr>"
                   for name, number, meaning in summary(figures))
    wrong = sorted((each for each in results if not each.error and not each.right), key=lambda each: each.contained)
    right = [each for each in results if not each.error and each.right]
    return "\n".join([
        _HEAD, "<h1>Wanted and said</h1>",
        f"<p>{_escaped(asked.model)}<br><small>asked about {_escaped(shown(asked.texts))}</small></p>",
        f"<table>{rows}</table>",
        *_section("Wrong", "a wanted word is lacking; the worst first", wrong, len(results)),
        *_section("Right", "every wanted word was said", right, len(results)),
        *_unreadable([each.error for each in results if each.error]),
    ]) + "\n</html>\n"


def _section(title: str, meaning: str, results: Sequence[Result], of: int) -> list[str]:
    more = f"; the first {TILES} are shown" if len(results) > TILES else ""
    tiles = "".join(map(_tile, results[:TILES]))
    return [f"<h2>{title}: {len(results)} of {of}</h2><p><small>{meaning}{more}</small></p>",
            f"<div class=tiles>{tiles}</div>"]


def _unreadable(errors: Sequence[str]) -> list[str]:
    lines = "".join(f"<li>{_escaped(error)}</li>" for error in errors[:TILES])
    return [f"<h2>Unreadable: {len(errors)}</h2><ul>{lines}</ul>"] if errors else []


def _tile(result: Result) -> str:
    images = "".join(map(_image, result.question.conversation.images))
    wanted = "<br>".join(_marked(text, result.said) for text in result.question.wanted)
    names = ", ".join(Path(image_name(image)).name for image in result.question.conversation.images)
    return (f"<figure>{images}<figcaption><small>{_escaped(names)}<br>{_escaped(result.question.text)}</small><br>"
            f"<b>wanted</b> {wanted}<br><b>said</b> {_escaped(result.said) or '(nothing)'}</figcaption></figure>")


def _marked(wanted: str, said: str) -> str:
    """A wanted text, its words marked as said or lacking."""
    spoken = set(words_of(said))
    return "".join(
        _escaped(stretch) if not word else
        f"<span class={'said' if word in spoken else 'lacking'}>{_escaped(stretch)}</span>"
        for stretch, word in split_words(wanted)
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _image(ref: ImageRef) -> str:
    try:
        image = open_image(ref)
    except UserError:
        return ""  # it was read a moment ago and answered about; its name stands below
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"


def _entry(result: Result, images: Path) -> dict[str, object]:
    names = [ref.path.relative_to(images).as_posix() if ref.path and ref.path.is_relative_to(images)
             else image_name(ref) for ref in result.question.conversation.images]
    asked = {"images": [shown(name) for name in names], "question": result.question.text,
             "wanted": list(result.question.wanted)}
    if result.error:
        return {**asked, "error": result.error}
    return {**asked, "said": result.said, "reason": result.reason, "right": result.right, "exact": result.exact,
            "contained": round(result.contained, 4)}
