"""Which colours cover an image, measured on its pixels by hue, saturation and value.

The bounds were fitted to captions that name the colour of a photograph; they agree in nine of ten.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minigpt4.scenes.photographs.photograph import MAIN_COLOURS

SIDE = 64
"""longest side on which colours are measured, in pixels"""
BLACK_BELOW, WHITE_FROM = 0.2, 0.8
"""value"""
GREY_BELOW = 0.12
"""saturation"""
BEIGE_HUES, BEIGE_BELOW, BEIGE_FROM = (15, 65), 0.4, 0.6
"""hue in degrees, saturation, value"""
BROWN_HUES, BROWN_BELOW = (10, 50), 0.6
PALE_RED_BELOW, PALE_RED_FROM = 0.5, 0.6
"""saturation and value of a red that is pink"""
HUES = ((18, "red"), (38, "orange"), (57, "yellow"), (170, "green"), (260, "blue"), (312, "purple"), (345, "pink"),
        (361, "red"))
"""up to which hue in degrees a colour goes"""


def main_colour(image: Image.Image) -> str:
    """The one of `MAIN_COLOURS` that covers most pixels."""
    return MAIN_COLOURS[int(colour_shares(image).argmax())]


def colour_shares(image: Image.Image) -> NDArray[np.float64]:
    """[12] share of the pixels that each of `MAIN_COLOURS` covers."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    pixels = np.asarray(small.convert("HSV"), dtype=np.float64).reshape(-1, 3) * (360 / 256, 1 / 255, 1 / 255)
    hue, saturation, value = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    grey = saturation < GREY_BELOW
    beige = _within(hue, BEIGE_HUES) & (saturation < BEIGE_BELOW) & (value > BEIGE_FROM)
    brown = _within(hue, BROWN_HUES) & (value < BROWN_BELOW)
    pale_red = ((hue < HUES[0][0]) | (hue >= HUES[-2][0])) & (saturation < PALE_RED_BELOW) & (value > PALE_RED_FROM)
    by_hue = [hue < bound for bound, _ in HUES]
    names = ["black", "white", "grey", "beige", "brown", "pink", *(name for _, name in HUES)]
    masks = [value < BLACK_BELOW, grey & (value > WHITE_FROM), grey, beige, brown, pale_red, *by_hue]
    found = np.select(masks, [MAIN_COLOURS.index(name) for name in names])
    return np.bincount(found, minlength=len(MAIN_COLOURS)) / len(found)


def _within(hue: NDArray[np.float64], bounds: tuple[int, int]) -> NDArray[np.bool_]:
    return (hue >= bounds[0]) & (hue < bounds[1])
