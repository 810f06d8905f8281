"""Views as image files: scenes as PNG, of which no pixel is lost, photographs as JPEG."""

from __future__ import annotations

import io

from PIL import Image

from minigpt4.scenes.drawing import draw
from minigpt4.scenes.photographs.photograph import Photograph
from minigpt4.scenes.words.word_vectors import View

JPEG_QUALITY = 95


def encoded(view: View) -> bytes:
    """The bytes of the image file of a scene, or of a photograph that has pixels."""
    buffer = io.BytesIO()
    if isinstance(view, Photograph):
        assert view.image is not None, "facts alone cannot be drawn"
        view.image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    else:
        draw(view).save(buffer, "PNG")
    return buffer.getvalue()


def ending_of(view: View) -> str:
    """Of the file's name."""
    return "jpg" if isinstance(view, Photograph) else "png"


def as_bmp(image: Image.Image) -> bytes:
    """As BMP, the quickest to write and read, nothing lost: for images that no file keeps."""
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    return buffer.getvalue()
