"""Recognise weights that cannot be right: not finite, all zero, or one value throughout.

Half-downloaded files and wrongly merged deltas give such tensors, and a model made of them trains without an error
(its loss is ln V, docs/originals/minigpt4.md#losses).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

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


Extremes = tuple[float, float]
"""smallest and largest value of a tensor"""


def extremes_of(tensor: Tensor) -> Extremes | None:
    """Those of a floating-point tensor; None for any other, and for an empty one."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return None
    smallest, largest = (float(value) for value in torch.aminmax(tensor.detach()))
    return smallest, largest


def fault_of(tensor: Tensor, extremes: Extremes | None = None) -> str:
    """What is wrong with one tensor, as words that follow its name; empty if nothing is.

    Args:
        tensor: any.
        extremes: `extremes_of` it, where they are at hand.
    """
    extremes = extremes or extremes_of(tensor)
    if extremes is None:
        return ""
    smallest, largest = extremes
    if not all(map(isfinite, extremes)):
        return "holds values that are not finite"
    if tensor.ndim < 2 or tensor.numel() == 1 or smallest != largest:
        return ""
    return "is all zero" if largest == 0 else f"is {largest:g} throughout"
