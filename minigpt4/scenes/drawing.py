"""A scene as an image of 112 x 112 pixels, in a fraction of a millisecond: training draws as it goes.

Shapes are cut once into masks at twice the size; drawing pastes them and halves the whole, which smooths the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from PIL import Image, ImageDraw

from minigpt4.scenes.scene import Group, Scene
from minigpt4.scenes.shapes import SHAPES

SIDE = 112
"""pixels: eight patches of 14, a quadrant is four by four"""

Colour = tuple[int, int, int]

FILLS: dict[str, Colour] = {
    "red": (214, 40, 40), "orange": (244, 138, 30), "yellow": (245, 212, 50), "green": (46, 156, 70),
    "blue": (45, 95, 206), "purple": (130, 60, 172), "pink": (245, 150, 190), "black": (36, 36, 40),
}
PAINTS: dict[str, Colour] = {
    "dark": (48, 46, 50), "light": (246, 244, 234), "wood": (112, 78, 50), "green": (92, 128, 78),
}
OUTLINE, OUTLINE_OF_DARK = (40, 38, 42), (128, 128, 132)

UPPER: dict[str, Colour] = {
    "white": (250, 250, 250), "grey": (203, 203, 206), "sky": (198, 226, 247), "meadow": (228, 240, 250),
    "beach": (206, 232, 244),
}
LOWER: dict[str, Colour] = {"meadow": (196, 228, 176), "beach": (242, 228, 190)}
"""backgrounds with a horizon"""

FILL_JITTER = 10
BIG, SMALL = (21, 24), (11, 13)
"""half sizes in pixels; read at .99 and better by a small encoder"""

UNNAMED_DISTANCE = 75
"""RGB distance from all eight colours from which on no name fits"""
GREY_SHARE = 0.3


def draw(scene: Scene, *, fills: Sequence[Colour | None] | None = None) -> Image.Image:
    """The image of a scene. `fills` paints its groups in other colours (None: the group's own): training of vision."""
    random = Random(scene.layout_seed)
    canvas = _background(scene.background, random)
    for index, group in enumerate(scene.groups):
        fill = tuple(channel + random.randint(-FILL_JITTER, FILL_JITTER) for channel in FILLS[group.colour])
        other = fills[index] if fills else None
        _draw_group(canvas, group, other or fill, random)
    return canvas.reduce(2)


def unnamed_colour(random: Random) -> Colour:
    """A colour that none of the eight names fits."""
    while True:
        grey = random.randint(70, 225)
        colour = (random.randint(20, 245), random.randint(20, 245), random.randint(20, 245))
        if random.random() < GREY_SHARE:
            colour = (grey, grey, grey)
        if all(_distance(colour, named) > UNNAMED_DISTANCE for named in FILLS.values()):
            return colour


def _distance(one: Sequence[int], other: Sequence[int]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5


def _background(name: str, random: Random) -> Image.Image:
    side = 2 * SIDE
    canvas = Image.new("RGB", (side, side), UPPER[name])
    horizon = side * random.randint(42, 58) // 100
    if name in LOWER:
        canvas.paste(LOWER[name], (0, horizon, side, side))
    return canvas


def _draw_group(canvas: Image.Image, group: Group, fill: Sequence[int], random: Random) -> None:
    """Paste the things of a group into its quadrant."""
    row, column = divmod(group.quadrant, 2)
    for x, y, half in _places(group, random):
        _stamp(canvas, group.kind, fill, (SIDE * column + x, SIDE * row + y), half)


def _places(group: Group, random: Random) -> list[tuple[int, int, int]]:
    """(x, y, half size) of every thing within its quadrant, at twice the size."""
    lowest, highest = BIG if group.size == "big" else SMALL
    half = random.randint(2 * lowest, 2 * highest)
    if group.count == 1:
        room = SIDE // 2 - half - 4
        return [(SIDE // 2 + random.randint(-room, room), SIDE // 2 + random.randint(-room, room), half)]
    cells = sorted(random.sample(range(4), group.count))
    return [(_middle(cell % 2, random), _middle(cell // 2, random), half) for cell in cells]


def _middle(cell: int, random: Random) -> int:
    """Where the middle of the first or second half of a quadrant's side lies, off by a pixel at most."""
    return SIDE // 4 * (1 + 2 * cell) + random.randint(-2, 2)


def _stamp(canvas: Image.Image, kind: str, fill: Sequence[int], centre: tuple[int, int], half: int) -> None:
    stencil = _stencil(kind, half)
    corner = (centre[0] - stencil.details.width // 2, centre[1] - stencil.details.height // 2)
    box = (*corner, corner[0] + stencil.details.width, corner[1] + stencil.details.height)
    canvas.paste(OUTLINE_OF_DARK if sum(fill) < 200 else OUTLINE, box, stencil.outline)
    canvas.paste(tuple(fill), box, stencil.fill)
    canvas.paste(stencil.details, box, stencil.detail)


class _Stencil(NamedTuple):
    """Masks of a kind at a size: outline below, fill above it, details in their own colours on top."""

    outline: Image.Image
    fill: Image.Image
    detail: Image.Image
    details: Image.Image


@cache
def _stencil(kind: str, half: int) -> _Stencil:
    side = 2 * half + 8
    masks = [Image.new("1", (side, side)) for _ in range(3)]
    details = Image.new("RGB", (side, side))
    outline, fill, detail, colours = (ImageDraw.Draw(layer) for layer in (*masks, details))
    for piece in SHAPES[kind]:
        points = [(half + 4 + half * x, half + 4 + half * y) for x, y in piece.points]
        if piece.paint == "fill":
            fill.polygon(points, fill=1)
            detail.polygon(points, fill=0)  # a trunk or a mast ends behind what stands before it
            outline.line([*points, points[0]], fill=1, width=4, joint="curve")
        else:
            detail.polygon(points, fill=1)
            colours.polygon(points, fill=PAINTS[piece.paint])
    return _Stencil(masks[0], masks[1], masks[2], details)
