"""`docs/photos.md`: the figures of the photographs, and sheets of held-out images with what was said of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from minigpt4.common.files import atomic_file
from minigpt4.metrics.class_words import class_words_in

if TYPE_CHECKING:
    from benchmarks.photos import Said

SHOWN = 24
"""images on a sheet"""
COLUMNS, TILE, GAP, LINE = 6, 160, 10, 13
LETTERS = 27
"""letters of a line under a tile of that width"""
MOST_LINES = 12
"""the longest caption of the data; a model that does not end would say much more"""
LARGEST = 600_000
"""bytes of a sheet, where quality can do it: pages stay quick to open"""


def write_page(results: Mapping[str, Any], said: Mapping[int, Sequence[Said]], images: Path, credits: Path,
               docs: Path) -> None:
    """Write the page, its sheets (JPEG) and the names of the photographers of what is shown."""
    shown: list[Said] = []
    for stage, captions in said.items():
        words = sorted({each.wanted for each in captions})
        right, wrong = apart(captions, words)
        for kind, chosen in (("right", spread(right, SHOWN)), ("wrong", spread(wrong, SHOWN))):
            path = docs / "images" / f"photos_stage{stage}_{kind}.jpg"
            path.unlink(missing_ok=True)  # a sheet of an earlier run is not one of this
            if chosen:
                _save(sheet([(images / each.image, f"[{each.wanted}] {each.caption}") for each in chosen]), path)
            shown += chosen
    _write(docs / "images" / "photos_credits.tsv", credits_of(credits, {Path(each.image).stem for each in shown}))
    _write(docs / "photos.md", page(results))


def apart(captions: Sequence[Said], words: Sequence[str]) -> tuple[list[Said], list[Said]]:
    """Right captions and wrong ones, by the rule of the score."""
    right = [each for each in captions if class_words_in(each.caption, words) == {each.wanted}]
    return right, [each for each in captions if each not in right]


def spread(captions: Sequence[Said], number: int) -> list[Said]:
    """This many of them, taken in turn from every class in the order of the files, so that none is hand-picked."""
    by_class: dict[str, list[Said]] = {}
    for each in sorted(captions, key=lambda each: each.image):
        by_class.setdefault(each.wanted, []).append(each)
    rounds = max((len(group) for group in by_class.values()), default=0)
    groups = [by_class[word] for word in sorted(by_class)]
    return [group[turn] for turn in range(rounds) for group in groups if turn < len(group)][:number]


def sheet(tiles: Sequence[tuple[Path, str]]) -> Image.Image:
    """Images in rows of six, each whole in its square, its text under it."""
    texts = [textwrap.wrap(text, LETTERS, max_lines=MOST_LINES, placeholder=" …") for _, text in tiles]
    rows = [range(first, min(first + COLUMNS, len(tiles))) for first in range(0, len(tiles), COLUMNS)]
    heights = [TILE + GAP + LINE * max(len(texts[number]) for number in row) + GAP for row in rows]
    canvas = Image.new("RGB", (COLUMNS * (TILE + GAP) + GAP, sum(heights) + GAP), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, number in enumerate(row):
            left = GAP + column * (TILE + GAP)
            with Image.open(tiles[number][0]) as image:
                canvas.paste(ImageOps.pad(image.convert("RGB"), (TILE, TILE), color="#eeeeee"), (left, top))
            for line, text in enumerate(texts[number]):
                pen.text((left, top + TILE + 3 + line * LINE), text, fill="black", font=font)
        top += height
    return canvas


def _save(image: Image.Image, path: Path) -> None:
    """As JPEG, as good as fits."""
    with atomic_file(path) as part:
        for quality in (85, 75, 60, 40):
            image.save(part, "JPEG", quality=quality, optimize=True)
            if part.stat().st_size <= LARGEST:
                break


def credits_of(credits: Path, keys: set[str]) -> str:
    """The lines of CREDITS.tsv for these held-out images, with its head."""
    head, *lines = credits.read_text(encoding="utf-8").splitlines()
    wanted = {f"val/{key}" for key in keys}
    return "\n".join([head, *(line for line in lines if line.split("\t")[0] in wanted)]) + "\n"


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")


def page(results: Mapping[str, Any]) -> str:
    """The page as text; every number is from the results."""
    first, second = results["stages"]["stage1"], results["stages"]["stage2"]
    machine, versions = results["machine"], results["versions"]
    return f"""# Photographs: two stages from scratch

A small MiniGPT-4 (convolutional encoder, Q-Former, one linear layer, a Llama of two layers), all from random weights,
learns to describe real photographs of ten classes by two YAMLs. Written by `python benchmarks/photos.py`; the numbers
are in [benchmarks/results/photos.json](../benchmarks/results/photos.json), loss curves among them.

A caption is right if it holds exactly one of the ten class words and it is the right one. Chance is 0.10. Scored are
{results["held_out"]} held-out photographs, greedy decoding, nothing chosen by hand.

| | stage 1 | stage 2 |
| --- | --- | --- |
| right captions | {first["score"]:.3f} | {second["score"]:.3f} |
| captions that end with their end symbol | {first["ends_properly"]:.3f} | {second["ends_properly"]:.3f} |
| CPU-minutes of training | {first["cpu_minutes"]:.1f} | {second["cpu_minutes"]:.1f} |
| training loss at the end | {_last_loss(first)} | {_last_loss(second)} |

{_bars(results["bars"])}

Seed {results["seed"]}, one thread of {machine["processor"]}; Python {versions["python"]}, torch {versions["torch"]},
transformers {versions["transformers"]}, commit {versions["commit"]}.

## By class

{_per_class(first, second)}

## Right and wrong

Taken in turn from every class in the order of the files. In brackets the class, then what the model says.

{_sheets("stage 1", 1, first)}
{_sheets("stage 2", 2, second)}
The photographers of these images are named in [photos_credits.tsv](images/photos_credits.tsv). Flowers: CC BY 2.0;
airplanes and motorcycles: Caltech 101, CC BY 4.0; clothing: CC0. All were made smaller.
"""


def _last_loss(stage: Mapping[str, Any]) -> str:
    return f"{stage['curve'][-1]['loss']:.3f}" if stage["curve"] else "-"


def _bars(bars: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| figure | value | bar | |", "| --- | --- | --- | --- |"]
    for bar in bars:
        limit = f"{'at most' if bar['at_most'] else 'at least'} {bar['wanted']:g}"
        lines.append(f"| {bar['figure']} | {bar['value']:.3f} | {limit} | {'met' if bar['met'] else '**missed**'} |")
    return "\n".join(lines)


def _per_class(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    lines = ["| class | stage 1 | stage 2 |", "| --- | --- | --- |"]
    lines += [f"| {word} | {score:.2f} | {second['score_per_class'][word]:.2f} |"
              for word, score in first["score_per_class"].items()]
    return "\n".join(lines)


def _sheets(title: str, stage: int, figures: Mapping[str, Any]) -> str:
    most = ", ".join(f"{pair} ({count})" for pair, count in list(figures["confusions"].items())[:5])
    kinds = [kind for kind, some in (("right", figures["score"] > 0), ("wrong", figures["score"] < 1)) if some]
    lines = [f"### After {title}", "", f"Most frequent confusions: {most or 'none'}.", ""]
    for kind in kinds:
        lines += [f"![{kind} captions after {title}](images/photos_stage{stage}_{kind}.jpg)", ""]
    return "\n".join(lines)
