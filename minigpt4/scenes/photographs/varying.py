"""A photograph as training shows it: a part of it, perhaps mirrored, in other light."""

from __future__ import annotations

from math import sqrt
from random import Random

from PIL import Image, ImageEnhance

KEPT_AREA = (0.4, 1.0)
"""of a photograph, in a training image"""
ASPECT = (0.8, 1.25)
CHANGED_LIGHT, CHANGED_COLOUR = 0.2, 0.15
"""largest change of brightness and contrast, and of saturation, as shares"""


def varied(image: Image.Image, random: Random, side: int) -> Image.Image:
    """A part of a photograph, perhaps mirrored, in other light: a square of `side` pixels."""
    area, aspect = image.width * image.height * random.uniform(*KEPT_AREA), random.uniform(*ASPECT)
    aspect *= image.width / image.height
    width, height = min(image.width, sqrt(area * aspect)), min(image.height, sqrt(area / aspect))
    x, y = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
    image = image.resize((side, side), Image.Resampling.BILINEAR, box=(x, y, x + width, y + height))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhancer, change in ((ImageEnhance.Brightness, CHANGED_LIGHT), (ImageEnhance.Contrast, CHANGED_LIGHT),
                             (ImageEnhance.Color, CHANGED_COLOUR)):
        image = enhancer(image).enhance(1 + random.uniform(-change, change))
    return image
