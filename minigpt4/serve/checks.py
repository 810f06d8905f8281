"""What can be told of a question by counting, before anything is decoded or encoded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.processors.decoding import ImageError, is_animated
from minigpt4.processors.file_formats import open_formats
from minigpt4.records.images import ImageRef
from minigpt4.serve.knobs import Knobs
from minigpt4.serve.limits import Limits


def refuse_knobs(knobs: Knobs, limits: Limits) -> None:
    """Settings outside what the panel can show.

    Raises:
        UserError: they are.
    """
    numbers = limits.bearable(knobs.temperature, knobs.num_beams, knobs.max_new_tokens)
    if not numbers or not limits.drawable(knobs.top_p, knobs.seed):
        raise UserError("page.knobs", what="these settings are outside what the panel offers",
                        fix=f"temperature up to {limits.temperature:g}, beams up to {limits.beams}, "
                        f"{limits.new_tokens} tokens at most, top-p above 0 and up to 1, seed a whole number from 0")
    if len(knobs.system) > limits.system_characters:
        raise UserError("page.long_system", what=f"the system text has {len(knobs.system)} characters, more than "
                        f"{limits.system_characters}", fix="write a shorter one")


def refuse_images(files: Sequence[str], limits: Limits) -> None:
    """Images that are too large, each or together, by their headers.

    Raises:
        UserError: one is, or they are, or one is gone.
    """
    pixels = 0
    for file in files:
        _refuse_large(Path(file), limits)
        pixels += _pixels(Path(file), limits)
    if pixels > limits.question_pixels:
        raise UserError("image.large", what=f"the images of this question have {pixels} pixels together, "
                        f"more than {limits.question_pixels}", fix="show fewer at once, or make them smaller")


def moves(file: str) -> bool:
    """True for an animated image; what cannot be opened is reported by the conversation."""
    try:
        return is_animated(ImageRef(path=Path(file), name=Path(file).name))
    except ImageError:
        return False


def _refuse_large(file: Path, limits: Limits) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise UserError("image.missing", where=file.name, what="is not on the server any more",
                        fix="upload it again") from error
    if size > limits.file_bytes:
        most = limits.file_bytes // 1_000_000
        raise UserError("page.large_file", where=file.name, what=f"has {size / 1e6:.0f} MB, more than {most}",
                        fix="make the image smaller first")


def _pixels(file: Path, limits: Limits) -> int:
    """Pixels of an image by its header; 0 for what is no image, which the decoder will tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=open_formats()) as image:
                pixels = image.width * image.height
    except Image.DecompressionBombError as error:
        raise UserError("image.large", where=file.name, what=f"has more than {limits.pixels} pixels",
                        fix="make it smaller first") from error
    except MemoryError:
        raise
    except Exception:  # whatever Pillow's readers meet in a broken header
        return 0
    if pixels > limits.pixels:
        raise UserError("image.large", where=file.name, what=f"image has {pixels} pixels, more than {limits.pixels}",
                        fix="make it smaller first")
    return pixels
