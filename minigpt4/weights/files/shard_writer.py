"""Write tensors into safetensors files, one tensor in memory at a time.

The header of a file follows from names, shapes and dtypes alone. So it is written first, and each tensor is made,
hashed, written and dropped before the next: a shard of any size costs the memory of its largest tensor.
Source: the safetensors format (8 bytes length, JSON header, tensors without holes).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from minigpt4.common.files import write_json
from minigpt4.common.sharded_tensors import is_sharded, whole
from minigpt4.weights.files.checksums import BLOCK, Progress, nothing

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
"""bytes of a file of a bundle, at most; what Hugging Face used for years"""
DTYPE_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is made when it is written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor] = field(repr=False)
    gathered: bool = False
    """all ranks of a run make it at the same time, because each holds a part"""

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def lazy_copy(name: str, tensor: Tensor) -> LazyTensor:
    """A tensor that lives elsewhere (on a GPU, not contiguous), brought to the host when it is written."""
    return LazyTensor(name, tuple(tensor.shape), tensor.dtype, lambda: whole(tensor.detach()).cpu(), is_sharded(tensor))


@dataclass(frozen=True)
class Shard:
    """One file and what goes into it, in the order of the file."""

    file_name: str
    tensors: tuple[LazyTensor, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of the whole file, header included."""
        return len(_header(self.tensors)) + sum(tensor.num_bytes for tensor in self.tensors)


def plan_shards(tensors: Sequence[LazyTensor], max_bytes: int) -> list[Shard]:
    """Spread tensors, in their order, over files of at most `max_bytes` (a larger tensor has a file of its own)."""
    groups: list[list[LazyTensor]] = [[]]
    for tensor in tensors:
        if groups[-1] and sum(one.num_bytes for one in groups[-1]) + tensor.num_bytes > max_bytes:
            groups.append([])
        groups[-1].append(tensor)
    names = [f"model-{n:05d}-of-{len(groups):05d}.safetensors" for n in range(1, len(groups) + 1)]
    if len(groups) == 1:
        names = ["model.safetensors"]
    return [Shard(name, _aligned(group)) for name, group in zip(names, groups, strict=True)]


def index_of(shards: Sequence[Shard]) -> dict[str, object] | None:
    """Which file holds which tensor, in Hugging Face's form; a single file needs no index."""
    if len(shards) == 1:
        return None
    weight_map = {tensor.name: shard.file_name for shard in shards for tensor in shard.tensors}
    total = sum(tensor.num_bytes for shard in shards for tensor in shard.tensors)
    return {"metadata": {"total_size": total}, "weight_map": weight_map}


def write_tensors(folder: Path, tensors: Sequence[LazyTensor], max_bytes: int) -> None:
    """Write tensors into a folder that exists: `model.safetensors`, or shards and their index.

    Args:
        folder: the caller makes it whole or absent.
        tensors: made one after the other; where writing fails, what is gathered is made all the same, for the others.
        max_bytes: a file grows up to this size; a larger tensor has a file of its own.
    """
    made: set[str] = set()
    shards = plan_shards([_counted(tensor, made) for tensor in tensors], max_bytes)
    try:
        for shard in shards:
            write_shard(shard, folder / shard.file_name, nothing)
    except OSError:
        _gather(shards, leave_out=made)
        raise
    if (index := index_of(shards)) is not None:
        write_json(folder / INDEX, index)


def take_part(tensors: Sequence[LazyTensor], max_bytes: int) -> None:
    """What the other ranks do while one writes: make what is gathered, in the order of `write_tensors`, and drop it."""
    _gather(plan_shards(tensors, max_bytes))


def _gather(shards: Iterable[Shard], leave_out: Collection[str] = ()) -> None:
    for shard in shards:
        for tensor in shard.tensors:
            if tensor.gathered and tensor.name not in leave_out:
                tensor.make()


def _counted(tensor: LazyTensor, made: set[str]) -> LazyTensor:
    """The same tensor, whose name is in `made` once it was."""
    def make() -> Tensor:
        made.add(tensor.name)
        return tensor.make()

    return replace(tensor, make=make)


def write_shard(shard: Shard, path: Path, on_bytes: Progress) -> str:
    """Write one safetensors file.

    Returns:
        sha256 of the file's bytes.
    """
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        header = _header(shard.tensors)
        digest.update(header)
        file.write(header)
        for tensor in shard.tensors:
            _write_tensor(tensor, file, digest.update, on_bytes)
    return digest.hexdigest()


def _write_tensor(
    planned: LazyTensor, file: BinaryIO, hashed: Callable[[memoryview], None], on_bytes: Progress
) -> None:
    made = planned.make()
    assert (tuple(made.shape), made.dtype) == (planned.shape, planned.dtype), f"{planned.name} is not as planned"
    content = made.contiguous().reshape(-1).view(torch.uint8).numpy().data
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        hashed(block)
        file.write(block)
        on_bytes(len(block))


def _header(tensors: Iterable[LazyTensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        entries[tensor.name] = {"dtype": DTYPE_NAMES[tensor.dtype], "shape": list(tensor.shape),
                                "data_offsets": [offset, offset + tensor.num_bytes]}
        offset += tensor.num_bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8, as readers that map memory want it
    return len(text).to_bytes(8, "little") + text


def _aligned(tensors: Iterable[LazyTensor]) -> tuple[LazyTensor, ...]:
    """Wide dtypes first: no tensor begins in the middle of its own words."""
    return tuple(sorted(tensors, key=lambda tensor: -tensor.dtype.itemsize))
