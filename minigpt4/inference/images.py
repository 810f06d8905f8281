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
from minigpt4.processors.decoding import MAX_PIXELS
from minigpt4.processors.image_files import image_file
from minigpt4.processors.images import FittedImages, ImageProcessor, ImageProcessorConfig
from minigpt4.records.batches import PIXELS
from minigpt4.records.images import ImageRef

REMEMBERED_IMAGES = 64
"""images whose tokens are kept; 32 tokens of width 4096 are 0.5 MB"""


def as_image_ref(image: object) -> ImageRef:
    """A path, bytes, a Pillow image or an `ImageRef` -> `ImageRef`.

    Raises:
        UserError: no such file, a web address, a folder, a named pipe, or no image at all.
    """
    if isinstance(image, ImageRef):
        return image
    if isinstance(image, str | Path):
        return image_file(Path(image))
    if isinstance(image, bytes | bytearray):
        return ImageRef(data=bytes(image), name="image")
    if hasattr(image, "save") and hasattr(image, "mode"):
        buffer = io.BytesIO()
        image.save(buffer, format="TIFF" if image.mode == "CMYK" else "PNG")
        return ImageRef(data=buffer.getvalue(), name="image")
    raise UserError(
        "image.kind", what=f"a {type(image).__name__} is not an image", fix="give a path, bytes or a Pillow image"
    )


def processor_of(loaded: LoadedModel, max_pixels: int = MAX_PIXELS) -> ImageProcessor:
    """The image processor of chat and evaluation: the pixels the model was trained on.

    Args:
        loaded: the model.
        max_pixels: larger images are refused before decoding.

    Raises:
        UserError: the model is text-only.
    """
    if loaded.image_spec is None:
        raise UserError("image.text_only", what="this model is text-only: it has no visual path",
                        fix="ask without an image")
    config = ImageProcessorConfig(image_size=loaded.image_spec.size, max_pixels=max_pixels)
    return FittedImages(loaded.image_spec, config)


class ImageTokens:
    """Image tokens by content: an image that was seen before is not encoded again.

    Args:
        loaded: the model.
        max_pixels: larger images are refused before decoding.
    """

    def __init__(self, loaded: LoadedModel, max_pixels: int = MAX_PIXELS) -> None:
        self.model: VisionLanguageModel = loaded.model
        self._loaded = loaded
        self._max_pixels = max_pixels
        self._known: OrderedDict[str, Tensor] = OrderedDict()
        self._pixels: dict[str, Tensor] = {}

    @cached_property
    def processor(self) -> ImageProcessor:
        return processor_of(self._loaded, self._max_pixels)

    @property
    def nbytes(self) -> int:
        """Bytes that remembered tokens and pixels take."""
        kept = [*list(self._known.values()), *list(self._pixels.values())]
        return sum(tensor.numel() * tensor.element_size() for tensor in kept)

    def clear(self) -> None:
        """Forget all images; what is asked for again is computed again."""
        self._known, self._pixels = OrderedDict(), {}

    def look(self, images: Sequence[ImageRef]) -> list[str]:
        """Decode images, keep their pixels until they are encoded, and return the digest of each one's pixels.

        Raises:
            UserError: an image cannot be read.
        """
        return self.hold([self.processor(image) for image in images])

    def hold(self, decoded: Sequence[Tensor]) -> list[str]:
        """The same for images that are decoded already, pixels [3, S, S] each."""
        digests = []
        for pixels in decoded:
            digests.append(hashlib.sha256(pixels.numpy().tobytes()).hexdigest())
            if digests[-1] not in self._known:
                self._pixels[digests[-1]] = pixels
        return digests

    def of(self, images: Sequence[ImageRef], digests: Sequence[str] = ()) -> tuple[Tensor | None, list[str]]:
        """Tokens [N, tokens, D] and the digest of each image's pixels; (None, []) without images.

        Args:
            images: in the order of the conversation.
            digests: of the first of them, from `look` or an earlier call; what is still remembered is not decoded.
        """
        if not images:
            return None, []
        known, pixels = dict(self._known), dict(self._pixels)  # `clear` may come from another thread
        found = list(digests)[: len(images)]
        for number, image in enumerate(images):
            if number >= len(found) or (found[number] not in known and found[number] not in pixels):
                found[number : number + 1] = self.look([image])
                pixels.update(self._pixels)
        new = {digest: pixels[digest] for digest in found if digest not in known}
        if new:
            with torch.no_grad():
                pixels_of_new = torch.stack(list(new.values())).to(self.model.device)
                tokens = self.model.encode_images({PIXELS: pixels_of_new})
            known.update(zip(new, tokens, strict=True))
        self._remember({digest: known[digest] for digest in found})
        return torch.stack([known[digest] for digest in found]), found

    def _remember(self, tokens: dict[str, Tensor]) -> None:
        remembered = self._known
        for digest, value in tokens.items():
            remembered[digest] = value
            remembered.move_to_end(digest)
            self._pixels.pop(digest, None)
        while len(remembered) > max(REMEMBERED_IMAGES, len(tokens)):
            remembered.popitem(last=False)
