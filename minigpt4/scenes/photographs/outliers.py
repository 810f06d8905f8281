"""Images that show nothing known, made by chance: a model learns on them to say that it does not know.

Shuffled, blended, cut up and painted over photographs, corners of photographs, surfaces, noise, and drawn shapes
without a name. All come out as squares of a given side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, pi, sin
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from minigpt4.scenes.drawing import FILLS, UPPER, unnamed_colour

Photographs = Callable[[Random], Image.Image]
"""draws a photograph of any subject"""

BILINEAR = Image.Resampling.BILINEAR
PHOTOGRAPHED = 0.6
"""of the fillings of shapes: pieces of photographs"""
SHARP = (0.2, 1.0)
"""sides of such a piece in units of the photograph's; whole ones are sharp, and seen through a shape only"""


def outlier(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """One image that shows nothing known."""
    (make,) = random.choices(list(_MAKERS), list(_MAKERS.values()))
    return make(random, photographs, side)


def _shuffled(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """A photograph cut into a grid whose pieces are put elsewhere, some of them turned."""
    image, number = _whole(random, photographs, side), random.choice((2, 3, 3, 4, 4, 5, 6, 8))
    bounds = [side * index // number for index in range(number + 1)]
    boxes = [(bounds[i], bounds[j], bounds[i + 1], bounds[j + 1]) for j in range(number) for i in range(number)]
    turned, places = random.random() < 0.5, random.sample(boxes, len(boxes))
    result = image.copy()
    for box, place in zip(boxes, places, strict=True):
        piece = image.crop(box).resize((place[2] - place[0], place[3] - place[1]), BILINEAR)
        if turned or number == 2:
            piece = _turned(piece, random)
        result.paste(piece, place[:2])
    return result


def _blended(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """Two photographs through each other."""
    images = [_turned(_whole(random, photographs, side), random) for _ in range(2)]
    if random.random() < 0.3:
        return ImageChops.difference(*images)
    return Image.blend(images[0], images[1], random.uniform(0.4, 0.6))


def _mosaic(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """Stripes and tiles of pieces of several photographs."""
    result = Image.new("RGB", (side, side))
    columns, rows = random.choice(((1, 3), (3, 1), (2, 2), (2, 3), (3, 2), (3, 3), (1, 4), (4, 4)))
    for column in range(columns):
        for row in range(rows):
            box = (side * column // columns, side * row // rows, side * (column + 1) // columns,
                   side * (row + 1) // rows)
            piece = _corner(random, photographs(random), (0.2, 0.45))
            result.paste(piece.resize((box[2] - box[0], box[3] - box[1]), BILINEAR), box[:2])
    return result


def _surface(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """A corner of a photograph, enlarged: a texture without a thing."""
    return _corner(random, photographs(random), (0.1, 0.22)).resize((side, side), Image.Resampling.BICUBIC)


def _painted_over(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """A photograph whose middle is hidden under a piece of another."""
    image = _whole(random, photographs, side)
    cover = _corner(random, photographs(random), (0.15, 0.35)).resize((side, side), BILINEAR)
    mask = Image.new("L", (side, side))
    middle, margin = side / 2, side * random.uniform(0.03, 0.14)
    pen = ImageDraw.Draw(mask)
    if random.random() < 0.4:
        pen.ellipse((margin, margin, side - margin, side - margin), fill=255)
    else:
        pen.polygon(_blob(random, middle, middle, side * random.uniform(0.45, 0.65)), fill=255)
    if random.random() < 0.5:
        mask = mask.filter(ImageFilter.GaussianBlur(side / 24))
    image.paste(cover, (0, 0), mask)
    return image


def _many_things(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """Overlapping shapes of all sizes, filled with pieces of photographs, colours and shades."""
    result = _filling(random, photographs, side)
    for _ in range(random.randint(4, 40)):
        mask = Image.new("L", (side, side))
        x, y, size = random.uniform(0, side), random.uniform(0, side), side * min(0.6, 0.06 / random.uniform(0.1, 1))
        ImageDraw.Draw(mask).polygon(_blob(random, x, y, size), fill=255)
        if random.random() < 0.3:
            mask = mask.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 2)))
        result.paste(_filling(random, photographs, side, sizes=SHARP), (0, 0), mask)
    return result


def _indoors(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """Straight edges: walls, a floor and boxes before them, in shades and surfaces."""
    result = _filling(random, photographs, side)
    horizon = side * random.uniform(0.35, 0.8)
    pen_boxes = [(0.0, horizon, float(side), float(side))]
    for _ in range(random.randint(3, 12)):
        x, y = random.uniform(-0.1, 0.9) * side, random.uniform(-0.1, 0.9) * side
        pen_boxes.append((x, y, x + random.uniform(0.05, 0.5) * side, y + random.uniform(0.05, 0.6) * side))
    for box in pen_boxes:
        mask = Image.new("L", (side, side))
        slant = random.uniform(-0.1, 0.1) * side
        left, top, right, bottom = box
        ImageDraw.Draw(mask).polygon([(left, top), (right, top + slant), (right, bottom), (left, bottom - slant)],
                                     fill=255)
        result.paste(_filling(random, photographs, side, sizes=SHARP), (0, 0), mask)
    return result


def _noise(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """Noise of any grain, coloured or grey, alone or over a surface."""
    generator = np.random.default_rng(random.getrandbits(32))
    grain = max(2, side // random.choice((1, 1, 2, 4, 8, 16, 24)))
    channels = random.choice((1, 3))
    pixels = generator.normal(random.uniform(60, 200), random.uniform(20, 80), (grain, grain, channels))
    pixels = np.broadcast_to(pixels.clip(0, 255).astype(np.uint8), (grain, grain, 3))
    image = Image.fromarray(pixels.copy()).resize((side, side), random.choice((BILINEAR, Image.Resampling.NEAREST)))
    if random.random() < 0.4:
        return Image.blend(image, _filling(random, photographs, side), random.uniform(0.2, 0.6))
    return image


def _unnamed_shapes(random: Random, photographs: Photographs, side: int) -> Image.Image:
    """Drawn shapes without a name, one to four, on the pale backgrounds of the scenes or on any other."""
    ground = random.choice(list(UPPER.values())) if random.random() < 0.8 else unnamed_colour(random)
    image = Image.new("RGB", (2 * side, 2 * side), ground)
    pen = ImageDraw.Draw(image)
    for quadrant in random.sample(range(4), random.randint(1, 4)):
        x, y = side * (quadrant % 2) + side / 2, side * (quadrant // 2) + side / 2
        fill = random.choice(list(FILLS.values())) if random.random() < 0.7 else unnamed_colour(random)
        points = _blob(random, x, y, side * random.uniform(0.16, 0.42))
        pen.polygon(points, fill=fill)
        pen.line([*points, points[0]], fill=(40, 38, 42), width=4, joint="curve")
    return image.resize((side, side), Image.Resampling.BOX)


_MAKERS = {
    _shuffled: 4, _blended: 3, _mosaic: 4, _surface: 2, _painted_over: 3, _many_things: 5, _indoors: 4, _noise: 2,
    _unnamed_shapes: 4,
}


def _whole(random: Random, photographs: Photographs, side: int) -> Image.Image:
    return photographs(random).resize((side, side), BILINEAR)


def _corner(random: Random, image: Image.Image, share: Sequence[float]) -> Image.Image:
    """A piece whose sides are some share of the image's, mostly from near its edges."""
    width, height = (max(4, round(length * random.uniform(*share))) for length in image.size)
    x = random.choice((0, image.width - width, random.randint(0, image.width - width)))
    y = random.choice((0, image.height - height, random.randint(0, image.height - height)))
    return _turned(image.crop((x, y, x + width, y + height)), random)


def _turned(image: Image.Image, random: Random) -> Image.Image:
    turn = random.choice((None, *Image.Transpose))
    return image if turn is None else image.transpose(turn)


def _filling(random: Random, photographs: Photographs, side: int, sizes: Sequence[float] = (0.08, 0.4)
             ) -> Image.Image:
    """A piece of a photograph, a colour, or a shade from one colour to another."""
    kind = random.random()
    if kind < PHOTOGRAPHED:
        return _corner(random, photographs(random), sizes).resize((side, side), BILINEAR)
    colours = [tuple(random.randint(0, 255) for _ in range(3)) for _ in range(2)]
    if random.random() < 0.7:  # mostly not gaudy
        colours = [tuple((channel + 2 * sum(colour) // 3) // 3 for channel in colour) for colour in colours]
    if kind < (1 + PHOTOGRAPHED) / 2:
        return Image.new("RGB", (side, side), colours[0])
    shade = Image.new("RGB", (2, 2))
    shade.putdata([colours[0], colours[random.random() < 0.5], colours[1], colours[1]])
    return shade.resize((side, side), BILINEAR)


def _blob(random: Random, x: float, y: float, size: float) -> list[tuple[float, float]]:
    """An irregular outline around a point: smooth, jagged or with few corners."""
    number = random.choice((5, 6, 7, 9, 12, 24))
    start, first, second = (random.uniform(0, 2 * pi) for _ in range(3))
    wave, jag, flat = random.uniform(0.1, 0.5), random.uniform(0, 0.35), random.uniform(0.4, 1)
    points = []
    for index in range(number):
        angle = start + 2 * pi * index / number
        radius = size * (1 + wave * sin(2 * angle + first) + wave / 2 * sin(3 * angle + second) - random.random() * jag)
        points.append((x + radius * cos(angle) * flat, y + radius * sin(angle)))
    return points
