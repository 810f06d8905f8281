"""Named tensors of an opened file or folder: shapes and dtypes are known, values are read one tensor at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorFile:
    """What every reader of weights gives.

    Args:
        path: the file or folder.
        shapes: name -> shape.
        dtypes: name -> dtype, as stored.
        load: reads the tensor of a name.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    load: Callable[[str], Tensor] = field(repr=False)

    @property
    def names(self) -> list[str]:
        return list(self.shapes)

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(math.prod(shape) * self.dtypes[name].itemsize for name, shape in self.shapes.items())

    def without_prefix(self, prefix: str) -> TensorFile:
        """The same tensors under names without a prefix that all of them have."""
        cut = len(prefix)
        return TensorFile(self.path, {name[cut:]: shape for name, shape in self.shapes.items()},
                          {name[cut:]: dtype for name, dtype in self.dtypes.items()},
                          lambda name: self.load(prefix + name))


def some_names(names: Iterable[str], limit: int = 5) -> str:
    """The first few names in quotes, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{name}'" for name in names[:limit]) + more
