"""Images as users pass them in, and their tokens, computed once."""

from __future__ import annotations

import hashlib
import io
import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.processors.images import FittedImages, ImageProcessor
from minigpt4.records.batches import PIXELS
from minigpt4.records.images import ImageRef

ADDRESS = re.compile(r"(https?|ftp|s3|gs|hdfs|file):/+(.*)", re.IGNORECASE | re.DOTALL)
"""a path made one slash of two"""
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
        try:
            return _file_ref(Path(image))
        except OSError as error:  # a name that is too long, a folder that may not be entered
            what = f"cannot be read ({error.strerror})"
            raise UserError("image.unreadable", where=shown(image), what=what) from error
    if isinstance(image, bytes | bytearray):
        return ImageRef(data=bytes(image), name="image")
    if hasattr(image, "save") and hasattr(image, "mode"):
        buffer = io.BytesIO()
        image.save(buffer, format="TIFF" if image.mode == "CMYK" else "PNG")
        return ImageRef(data=buffer.getvalue(), name="image")
    raise UserError(
        "image.kind", what=f"a {type(image).__name__} is not an image", fix="give a path, bytes or a Pillow image"
    )


def _file_ref(path: Path) -> ImageRef:
    name = shown(path)
    if found := ADDRESS.match(name):
        raise UserError("image.address", where=f"{found[1]}://{found[2]}", what="is an address, which is not fetched",
                        fix="download the image and give its path")
    if path.is_dir():
        raise UserError("image.folder", where=name, what="is a folder",
                        fix="name an image in it, or describe all of them with minigpt4 caption")
    if not path.exists():
        fix = "backslashes do not separate folders here: write /" if "\\" in name else "check the path"
        raise UserError("image.missing", where=name, what="no such image", fix=fix)
    if not path.is_file():
        raise UserError("image.kind", where=name, what="is no regular file but a named pipe, socket or device",
                        fix="save the image to a file and give its path")
    return ImageRef(path=path, name=name)


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
