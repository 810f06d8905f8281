"""Read a safetensors file that is opened once: its header, then each tensor as a map of its own part of the file.

The library's reader maps the whole file: every page that was ever read counts as the process' memory as long as the
file is open. Here only the tensors that are still referred to do. Source: the safetensors format (8 bytes length, JSON
header, tensors without holes); a header that does not describe exactly its file is refused, as the library does.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from minigpt4.weights.files.tensor_file import TensorFile

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "U16": torch.uint16, "U32": torch.uint32,
    "U64": torch.uint64, "C64": torch.complex64,
}
LONGEST_HEADER = 100_000_000
"""bytes; the library's own limit"""


class NotSafetensors(ValueError):
    """The file is damaged, or of another kind."""


class _Entry(NamedTuple):
    shape: tuple[int, ...]
    dtype: torch.dtype
    begin: int
    end: int


class _OpenFile:
    """An open file and where its tensors are; closed when nothing refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "rb")  # noqa: SIM115  (it stays open as long as tensors may be asked for)
        self.entries = _read_header(self.file)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.file.close()

    def load(self, name: str) -> Tensor:
        """One tensor, a view of its own part of the file; what is written into it stays in memory."""
        entry = self.entries[name]
        number = math.prod(entry.shape)
        if number == 0:
            return torch.empty(entry.shape, dtype=entry.dtype)
        begin = entry.begin - entry.begin % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self.file.fileno(), entry.end - begin, offset=begin, access=mmap.ACCESS_COPY)
        flat = torch.frombuffer(mapped, dtype=entry.dtype, count=number, offset=entry.begin - begin)
        return flat.reshape(entry.shape)


def open_safetensors(path: Path) -> TensorFile:
    """Open a file.

    Raises:
        NotSafetensors: its header is broken, or does not describe the bytes that follow.
        OSError: it cannot be read.
    """
    opened = _OpenFile(path)
    return TensorFile(path, {name: entry.shape for name, entry in opened.entries.items()},
                      {name: entry.dtype for name, entry in opened.entries.items()}, opened.load)


def _read_header(file: BinaryIO) -> dict[str, _Entry]:
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(LONGEST_HEADER, size - 8):
        raise NotSafetensors(f"damaged, or cut off: it says its header has {length} bytes, the file has {size}")
    try:
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        entries = {name: _entry(name, values, 8 + length) for name, values in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotSafetensors(f"its header is broken: {error}") from error
    place = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != place:
            raise NotSafetensors(f"'{name}' does not begin where the tensor before it ends")
        place = entry.end
    if place != size:
        how = "it is cut off: " if place > size else ""
        raise NotSafetensors(f"{how}its header describes {place} bytes, the file has {size}")
    return entries


def _entry(name: str, values: Mapping[str, Any], start: int) -> _Entry:
    shape = tuple(int(number) for number in values["shape"])
    if values["dtype"] not in DTYPES:
        raise NotSafetensors(f"'{name}' is of the unknown dtype {values['dtype']}")
    dtype, (begin, end) = DTYPES[values["dtype"]], values["data_offsets"]
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise NotSafetensors(f"'{name}' of {list(shape)} {values['dtype']} has {end - begin} bytes")
    return _Entry(shape, dtype, start + begin, start + end)
