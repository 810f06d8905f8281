"""Images as training reads them where their features are stored: no decoding, only the digest of their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from minigpt4.datasets.feature_store.shards import FeatureShards
from minigpt4.processors.decoding import read_bytes
from minigpt4.processors.images import ImageProcessor
from minigpt4.records.batches import PIXELS
from minigpt4.records.images import ImageRef

DIGEST = "image_digest"
"""name of the digests among a batch's `images`: [N, 32] uint8, beside pixels whose features are to be stored"""


def digest_of(ref: ImageRef) -> bytes:
    """sha256 of an image's encoded bytes. Raises `ImageError` if they cannot be read."""
    return hashlib.sha256(read_bytes(ref)).digest()


def in_memory(ref: ImageRef) -> ImageRef:
    """The same image as bytes, so that digest and pixels cost one reading. Raises `ImageError` as `digest_of`."""
    if ref.data is not None:
        return ref
    return replace(ref, path=None, offset=None, length=None, data=read_bytes(ref), name=ref.name or str(ref.path))


@dataclass(frozen=True)
class PixelsToStore:
    """Pixels of an image, and the digest to store its features under."""

    processor: ImageProcessor

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        held = in_memory(ref)
        digest = torch.frombuffer(bytearray(digest_of(held)), dtype=torch.uint8)
        return {PIXELS: self.processor(held, generator), DIGEST: digest}


@dataclass(frozen=True)
class StoredImages:
    """Reads stored values where an image has them, else what `fallback` makes of it.

    Args:
        shards: what is stored.
        fallback: makes pixels.
    """

    shards: FeatureShards
    fallback: Callable[..., Tensor | Mapping[str, Tensor]]

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor | Mapping[str, Tensor]:
        """One image -> its stored values by name, or its pixels."""
        held = in_memory(ref)
        return self.shards.get(digest_of(held)) or self.fallback(held, generator)
