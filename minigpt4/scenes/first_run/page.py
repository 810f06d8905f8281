"""`output/demo.html`: how the embedded default learned. One file without any address of another host in it."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from pathlib import Path

from minigpt4.scenes.first_run.exam import Answered
from minigpt4.scenes.first_run.learning import Learning, Round

WIDTH, HEIGHT, MARGIN = 720, 260, 40
"""of the drawing of losses, in its own units"""
COLOURS = ("#3572b0", "#c2571a", "#3a9a5b")
_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>How the embedded default learned</title>
<style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
td, th { padding: .45rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid #8884; min-width: 8rem }
img { width: 6rem; height: 6rem; object-fit: cover; border-radius: .4rem }
.right { color: #2a8f4a } .wrong { color: #d04545 }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem }
figure { margin: 0 } figcaption { font-size: .88rem } svg { max-width: 100%; height: auto }
svg text { fill: currentColor; font-size: 12px }
</style>
<h1>How the embedded default learned</h1>
"""


def page(learning: Learning, answered: Sequence[Answered], *, vocabulary: int, knows: str) -> str:
    """The page as text.

    Args:
        learning: what the logs of both stages tell.
        answered: questions about images that no training showed.
        vocabulary: pieces of the language model; guessing costs the logarithm of their number.
        knows: what the model was trained on, in one sentence.
    """
    right = sum(each.right for each in answered)
    return "\n".join([
        _HEAD, f"<p>{html.escape(knows)}</p>",
        "<h2>The same questions, again and again</h2>",
        "<p>Only one linear layer learns; the encoder before it and the language model behind it stay as they are.</p>",
        _rounds(learning.rounds),
        "<h2>Loss</h2>", _curves(learning, math.log(vocabulary)),
        f"<h2>Images it has not seen: {right} of {len(answered)} answers right</h2>",
        _tiles(sorted(answered, key=lambda each: each.right)), "</html>",
    ]) + "\n"


def _rounds(rounds: Sequence[Round]) -> str:
    """A row for each question, a column for each moment."""
    if not rounds:
        return "<p>Nothing was watched.</p>"
    heads = "".join(f"<th>{html.escape(each.moment)}</th>" for each in rounds)
    rows = [f"<tr><th></th><th>question</th>{heads}<th>right</th></tr>"]
    for index, first in enumerate(rounds[0].answers):
        cells = "".join(_cell(each.answers[index].said, first.wanted) for each in rounds)
        rows.append(f"<tr><td>{_image(Path(first.image))}</td><td>{html.escape(first.question)}</td>{cells}"
                    f"<td>{html.escape(first.wanted)}</td></tr>")
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _cell(said: str, wanted: str) -> str:
    kind = "right" if said == wanted else "wrong"
    return f"<td class={kind}>{html.escape(said) or '(nothing)'}</td>"


def _curves(learning: Learning, chance: float) -> str:
    """Losses of all stages over their steps, and the line of guessing."""
    highest = max([chance, *(loss for points in learning.losses.values() for _, loss in points)]) * 1.05
    longest = max([1, *(step for points in learning.losses.values() for step, _ in points)])

    def place(step: float, loss: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / longest
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * loss / highest
        return f"{x:.1f},{y:.1f}"

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="loss over steps">']
    for colour, points in zip(COLOURS, learning.losses.values(), strict=False):
        line = " ".join(place(step, loss) for step, loss in points if math.isfinite(loss))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{line}"/>')
    left, right = place(0, chance).split(","), place(longest, chance).split(",")
    parts.append(f'<line x1="{left[0]}" y1="{left[1]}" x2="{right[0]}" y2="{right[1]}" stroke="currentColor" '
                 'stroke-dasharray="5 4"/>')
    parts.append(f'<text x="{MARGIN + 4}" y="{float(left[1]) - 6:.1f}">guessing: ln V = {chance:.2f}</text>')
    for number, (colour, stage) in enumerate(zip(COLOURS, learning.losses, strict=False)):
        last = learning.losses[stage][-1][1] if learning.losses[stage] else math.nan
        parts.append(f'<text x="{WIDTH / 2}" y="{MARGIN + 18 * number}" style="fill:{colour}">{html.escape(stage)}, '
                     f"at the end {last:.2f}</text>")
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}">step (of {longest})</text></svg>')
    return "".join(parts)


def _tiles(answered: Sequence[Answered]) -> str:
    """Wrong answers first."""
    tiles = []
    for each in answered:
        said = f"<span class={'right' if each.right else 'wrong'}>{html.escape(each.said) or '(nothing)'}</span>"
        wanted = "" if each.right else f"<br>right: {html.escape(each.wanted)}"
        tiles.append(f"<figure>{_image(each.image)}<figcaption>{html.escape(each.question)}<br>{said}{wanted}"
                     "</figcaption></figure>")
    return f"<div class=tiles>{''.join(tiles)}</div>"


def _image(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f'<img src="data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}" alt="">'
