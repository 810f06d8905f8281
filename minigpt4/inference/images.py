"""Images as users pass them in, and their tokens, computed once."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.processors.images import FittedImages, ImageProcessor
from minigpt4.records.batches import PIXELS
from minigpt4.records.images import ImageRef

REMEMBERED_IMAGES = 64
"""images whose tokens are kept; 32 tokens of width 4096 are 0.5 MB"""


def as_image_ref(image: object) -> ImageRef:
    """A path, bytes, a Pillow image or an `ImageRef` -> `ImageRef`."""
    if isinstance(image, ImageRef):
        return image
    if isinstance(image, str | Path):
        path = Path(image)
        if not path.is_file():
            raise UserError("image.missing", where=str(path), what="no such image", fix="check the path")
        return ImageRef(path=path, name=str(path))
    if isinstance(image, bytes | bytearray):
        return ImageRef(data=bytes(image), name="image")
    if hasattr(image, "save") and hasattr(image, "mode"):
        buffer = io.BytesIO()
        image.save(buffer, format="TIFF" if image.mode == "CMYK" else "PNG")
        return ImageRef(data=buffer.getvalue(), name="image")
    raise UserError(
        "image.kind", what=f"a {type(image).__name__} is not an image", fix="give a path, bytes or a Pillow image"
    )


def processor_of(loaded: LoadedModel) -> ImageProcessor:
    """The image processor of chat and evaluation: the pixels the model was trained on.

    Raises:
        UserError: the model is text-only.
    """
    if loaded.image_spec is None:
        raise UserError("image.text_only", what="this model is text-only: it has no visual path",
                        fix="ask without an image")
    return FittedImages(loaded.image_spec)


class ImageTokens:
    """Image tokens by content: an image that was seen before is not encoded again.

    Args:
        loaded: the model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.model: VisionLanguageModel = loaded.model
        self._loaded = loaded
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @cached_property
    def processor(self) -> ImageProcessor:
        return processor_of(self._loaded)

    def of(self, images: Sequence[ImageRef]) -> tuple[Tensor | None, list[str]]:
        """Tokens [N, tokens, D] and the digest of each image's pixels; (None, []) without images."""
        if not images:
            return None, []
        pixels = [self.processor(image) for image in images]
        digests = [hashlib.sha256(value.numpy().tobytes()).hexdigest() for value in pixels]
        new = {digest: value for digest, value in zip(digests, pixels, strict=True) if digest not in self._known}
        if new:
            with torch.no_grad():
                pixels_of_new = torch.stack(list(new.values())).to(self.model.device)
                tokens = self.model.encode_images({PIXELS: pixels_of_new})
            self._known.update(zip(new, tokens, strict=True))
        found = torch.stack([self._known[digest] for digest in digests])
        while len(self._known) > max(REMEMBERED_IMAGES, len(digests)):
            self._known.popitem(last=False)
        return found, digests
