"""What is told of a photograph: its subject, and the colour that covers most of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

SUBJECTS = ("airplane", "daisy", "dandelion", "motorcycle", "rose", "shirt", "shoe", "sunflower", "trousers", "tulip")
UNKNOWN = "unknown"
"""the subject of an image that shows nothing of what is known"""
MAIN_COLOURS = (
    "black", "white", "grey", "brown", "beige", "red", "orange", "yellow", "green", "blue", "purple", "pink",
)


@dataclass(frozen=True)
class Photograph:
    """One photograph in facts.

    Args:
        subject: one of `SUBJECTS`, or `UNKNOWN`.
        colour: the one of `MAIN_COLOURS` that covers most of it.
        image: its pixels; None where facts are enough.
    """

    subject: str
    colour: str
    image: Image.Image | None = field(default=None, compare=False, repr=False)

    @property
    def is_known(self) -> bool:
        return self.subject != UNKNOWN
