"""Tensors of which each rank holds some rows (DTensor, as FSDP2 keeps weights): filled from whole ones, gathered.

Nothing here imports `torch.distributed` for a tensor that is whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """True where this rank holds a part of the tensor."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor. All ranks ask for the same one at the same time where it is sharded."""
    sharded: Any = tensor
    gathered: Tensor = sharded.full_tensor() if is_sharded(tensor) else tensor
    return gathered


def own_rows(tensor: Tensor) -> Tensor:
    """What this rank holds, in the same memory."""
    sharded: Any = tensor
    held: Tensor = sharded.to_local() if is_sharded(tensor) else tensor
    return held


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one of the same shape, of which each rank may hold some rows: it takes its own."""
    if not is_sharded(target):
        target.copy_(value)
        return
    own_rows(target).copy_(own_rows(sharded_like(value, target)))


def sharded_like(value: Tensor, target: Tensor) -> Tensor:
    """A whole tensor, the same on every rank, as sharded as another one. Nothing travels between ranks."""
    from torch.distributed.tensor import distribute_tensor

    like: Any = target
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
