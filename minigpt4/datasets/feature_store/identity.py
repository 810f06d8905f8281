"""Whose features a folder holds: the same image gives others with any other weights, pixels or numbers.

Everything that features hang on is in one hash, which names the folder, so those of a changed encoder lie elsewhere
and can never be taken for the new ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from minigpt4.records.images import ImageSpec

SHOWN_DIGITS = 16
"""of the hash, in a folder's name"""


@dataclass(frozen=True)
class FeatureIdentity:
    """What the stored values of an image follow from, beside its bytes.

    Args:
        values: names of the values, as stages of the visual path write them.
        stages: name of each stage that makes them -> `stage_digest`.
        image_spec: how images become pixels.
        precision: what is computed in (fp32, bf16 …).
        dtype: what is stored, e.g. 'bfloat16'; empty = as it was computed.
    """

    values: tuple[str, ...]
    stages: Mapping[str, str]
    image_spec: ImageSpec
    precision: str
    dtype: str = ""

    def described(self) -> dict[str, object]:
        """The same as JSON."""
        return {"values": list(self.values), "stages": dict(self.stages), "image": asdict(self.image_spec),
                "precision": self.precision, "dtype": self.dtype}

    def digest(self) -> str:
        """Hexadecimal sha256 of all of it."""
        text = json.dumps(self.described(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def folder_in(self, store: Path) -> Path:
        """Where its features are in a store."""
        return store / self.digest()[:SHOWN_DIGITS]


def stage_digest(module: nn.Module) -> str:
    """sha256 of every value of a stage's tensors, their names, shapes and dtypes, and of its layers as printed."""
    digest = hashlib.sha256(f"{type(module).__qualname__} {module}".encode())
    for name, tensor in sorted(module.state_dict(keep_vars=True).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


def bytes_of(tensor: Tensor) -> bytes:
    """The values of a tensor of any dtype, one after another."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
