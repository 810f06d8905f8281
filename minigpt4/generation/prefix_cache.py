"""The key-value cache of the last answer, reused for the beginning that the next prompt shares.

A prefix is compared over keys: the token id, or (image digest, number of the image token); an image that was swapped
never meets the old cache. One conversation at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig

from minigpt4.generation.prompt import Key
from minigpt4.generation.roomy_cache import roomy_cache


class PrefixCache:
    """Keeps the cache of one conversation and the key of each of its positions."""

    def __init__(self, config: PreTrainedConfig) -> None:
        self._config = config
        self.clear()

    def clear(self) -> None:
        self._cache = roomy_cache(self._config)
        self._keys: list[Key] = []

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors of all layers take."""
        values = [value for layer in self._cache.layers for value in vars(layer).values()]
        return sum(value.untyped_storage().nbytes() for value in values if isinstance(value, Tensor))

    def take(self, keys: Sequence[Key]) -> tuple[DynamicCache, int]:
        """The cache cut to the longest common prefix with `keys`, and its length.

        At least the last position of the prompt is computed again, since its logits are wanted.
        """
        common = 0
        for old, new in zip(self._keys, keys[:-1], strict=False):
            if old != new:
                break
            common += 1
        surplus = self._cache.get_seq_length() - common
        if common == 0 and surplus:
            self.clear()
        elif surplus:
            self._cache.crop(-surplus)
        self._keys = self._keys[:common]
        return self._cache, common

    def keep(self, keys: Sequence[Key]) -> None:
        """Remember what the cache holds now; keys beyond its length (the last token) are not in it."""
        self._keys = list(keys[: self._cache.get_seq_length()])
