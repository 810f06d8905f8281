"""A key-value cache with room for the tokens to come: transformers' own copies all of it at every token."""

from __future__ import annotations

from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""positions that are set aside beyond what is needed"""


class RoomyLayer(DynamicLayer):
    """Keys and values as views of buffers; whoever replaces the views by other tensors costs one copy."""

    def __init__(self) -> None:
        super().__init__()
        self._buffers: dict[str, Tensor] = {}

    def update(self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
               ) -> tuple[Tensor, Tensor]:
        """Add keys and values [B, heads, new, d]; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._appended("keys", self.keys, key_states)
        self.values = self._appended("values", self.values, value_states)
        return self.keys, self.values

    def _appended(self, name: str, old: Tensor | None, new: Tensor) -> Tensor:
        length = old.shape[-2] if old is not None and old.numel() else 0
        needed = length + new.shape[-2]
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape[-2] < needed or (old is not None and length and not _begins(buffer, old)) \
                or buffer.shape[:2] != new.shape[:2]:
            buffer = new.new_empty(*new.shape[:2], needed + max(ROOM, needed // 4), new.shape[-1])
            if old is not None and length:
                buffer[:, :, :length] = old
            self._buffers[name] = buffer
        buffer[:, :, length:needed] = new
        return buffer[:, :, :needed]

    def reset(self) -> None:
        self._buffers = {}
        super().reset()


def _begins(buffer: Tensor, view: Tensor) -> bool:
    """Whether the view is the beginning of the buffer."""
    return buffer.data_ptr() == view.data_ptr() and buffer.stride() == view.stride()


def roomy_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache for a model; layers that do not keep everything stay transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
