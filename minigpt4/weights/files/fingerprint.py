"""The fingerprint of a part: a short hash over the names, shapes and a sample of the values of its tensors.

Taken from the tensors as the file holds them, before any change of dtype, so that the same weights have the same
fingerprint as shards, safetensors or one file. A sample suffices to tell models apart and costs seconds at 13B.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor

SAMPLED_VALUES = 256
"""values hashed of each tensor, evenly spread"""


class FingerprintHash:
    """Collects tensors in any order."""

    def __init__(self) -> None:
        self._tensors: dict[str, str] = {}
        self.num_values = 0
        """values hashed so far"""

    def add(self, name: str, tensor: Tensor) -> None:
        values = tensor.detach().reshape(-1)
        step = max(1, values.numel() // SAMPLED_VALUES)
        sample = values[::step][: 2 * SAMPLED_VALUES].float().cpu().contiguous()
        self.num_values += sample.numel()
        digest = hashlib.sha256(sample.numpy().tobytes()).hexdigest()
        self._tensors[name] = f"{tuple(tensor.shape)}:{digest}"

    def __len__(self) -> int:
        return len(self._tensors)

    def hexdigest(self) -> str:
        lines = "\n".join(f"{name} {value}" for name, value in sorted(self._tensors.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """The fingerprint of a set of named tensors."""
    collected = FingerprintHash()
    for name, tensor in tensors.items():
        collected.add(name, tensor)
    return collected.hexdigest()
