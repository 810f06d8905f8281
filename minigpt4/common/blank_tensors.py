"""Recognise weights that cannot be right: not finite, all zero, or one value throughout.

Half-downloaded files and wrongly merged deltas give such tensors, and a model made of them trains without an error
(its loss is ln V, docs/originals/minigpt4.md#losses).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlankTensor:
    """A tensor that cannot be right, and why."""

    name: str
    shape: tuple[int, ...]
    fault: str

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)} {self.fault}"


def find_blank_tensors(named: Iterable[tuple[str, Tensor]]) -> list[BlankTensor]:
    """Tensors with a fault, in order. Vectors may be constant (fresh norms and biases are), but never non-finite."""
    found = ((name, tensor, fault_of(tensor)) for name, tensor in named)
    return [BlankTensor(name, tuple(tensor.shape), fault) for name, tensor, fault in found if fault]


def fault_of(tensor: Tensor) -> str:
    """What is wrong with one tensor, as words that follow its name; empty if nothing is."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return ""
    smallest, largest = (float(value) for value in torch.aminmax(tensor.detach()))
    if not torch.isfinite(torch.tensor([smallest, largest])).all():
        return "holds values that are not finite"
    if tensor.ndim < 2 or tensor.numel() == 1 or smallest != largest:
        return ""
    return "is all zero" if largest == 0 else f"is {largest:g} throughout"
