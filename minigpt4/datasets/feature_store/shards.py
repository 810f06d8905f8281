"""Features in files: rows of equal size in shards that are whole or absent, found by the digest of an image.

A shard is two files: NAME.rows, the values of image after image, and NAME.keys, the digest of each image and a
checksum of its row. The keys are written last, so rows without keys do not count. Any number of processes may write
into one folder; each makes shards of its own.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, write_json
from minigpt4.datasets.feature_store.identity import FeatureIdentity, bytes_of

KEYS, ROWS, IDENTITY = ".keys", ".rows", "identity.json"
SHARD_BYTES = 64 << 20
"""rows of a shard are collected in memory up to this size"""
DIGEST_BYTES = 32
_KEY = np.dtype([("digest", f"V{DIGEST_BYTES}"), ("checksum", "<u4")])


@dataclass(frozen=True)
class RowLayout:
    """The values of one image, one after another: name, shape and dtype of each."""

    values: tuple[tuple[str, tuple[int, ...], str], ...]

    @classmethod
    def of(cls, features: Mapping[str, Tensor]) -> RowLayout:
        """That of the values of one image."""
        return cls(tuple((name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
                         for name, value in sorted(features.items())))

    @cached_property
    def num_bytes(self) -> int:
        return sum(_bytes_of_value(shape, dtype) for _, shape, dtype in self.values)

    def row(self, features: Mapping[str, Tensor]) -> bytes:
        """The bytes of one image's values."""
        assert RowLayout.of(features) == self, "the images of a store are all alike"
        return b"".join(bytes_of(features[name]) for name, _, _ in self.values)

    def features(self, row: np.ndarray[Any, Any]) -> dict[str, Tensor]:
        """One row, uint8 [num_bytes], as values; they share its memory."""
        found, start = {}, 0
        for name, shape, dtype in self.values:
            end = start + _bytes_of_value(shape, dtype)
            found[name] = torch.from_numpy(row[start:end]).view(getattr(torch, dtype)).reshape(shape)
            start = end
        return found


def _bytes_of_value(shape: Sequence[int], dtype: str) -> int:
    return int(np.prod(shape, dtype=np.int64)) * int(getattr(torch, dtype).itemsize)


class FeatureWriter:
    """Adds images to a store.

    Args:
        folder: that of the identity.
        identity: written beside the shards, for people and for a check.
        shard_bytes: rows are collected up to this size before they are written.
    """

    def __init__(self, folder: Path, identity: FeatureIdentity, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.identity, self.shard_bytes = folder, identity, shard_bytes
        self.num_written = 0
        self._layout: RowLayout | None = None
        self._rows: list[bytes] = []
        self._keys: dict[bytes, int] = {}
        self._written: set[bytes] = set()

    def __contains__(self, digest: bytes) -> bool:
        """Whether this writer was given the image before, written or not."""
        return digest in self._keys or digest in self._written

    def add(self, digest: bytes, features: Mapping[str, Tensor]) -> None:
        """The values of one image. Raises `UserError` if a shard is due and cannot be written."""
        if digest in self:
            return
        self._layout = self._layout or RowLayout.of(features)
        row = self._layout.row(features)
        self._keys[digest] = zlib.crc32(row)
        self._rows.append(row)
        if len(self._rows) * self._layout.num_bytes >= self.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is collected as one shard; without any, nothing."""
        if self._layout is None or not self._rows:
            return
        self._describe(self._layout)
        name = uuid.uuid4().hex
        with atomic_file(self.folder / (name + ROWS)) as part, open(part, "wb") as file:
            file.writelines(self._rows)
        with atomic_file(self.folder / (name + KEYS)) as part:
            part.write_bytes(np.array([(np.void(digest), checksum) for digest, checksum in self._keys.items()],
                                      dtype=_KEY).tobytes())
        self.num_written += len(self._rows)
        self._written.update(self._keys)
        self._rows, self._keys = [], {}

    def _describe(self, layout: RowLayout) -> None:
        described = self.folder / IDENTITY
        if not described.exists():
            write_json(described, {"identity": self.identity.described(), "digest": self.identity.digest(),
                                   "row": [list(value) for value in layout.values]})
        elif _layout_in(described) != layout:
            raise UserError("features.layout", where=str(described), fix=f"delete {self.folder}",
                            what="describes other values than are computed now")


class FeatureShards:
    """The images of a store, by digest. What is written after it was made is not seen.

    Args:
        folder: that of an identity; it need not exist.

    Raises:
        UserError: the folder is described by something that is no such description, or a shard has another size
            than its keys say.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        described = folder / IDENTITY
        self._layout = _layout_in(described) if described.exists() else RowLayout(())
        self._names = sorted(path.stem for path in folder.glob("*" + KEYS)) if described.exists() else []
        keys = [self._keys_of(name) for name in self._names]
        self._first = np.cumsum([0, *map(len, keys)])
        """number of each shard's first image among all"""
        every = np.concatenate(keys) if keys else np.empty(0, _KEY)
        heads = _heads(every)
        order = np.argsort(heads, kind="stable")
        self._heads, self._order, self._every = heads[order], order, every
        self._maps: dict[int, np.ndarray[Any, Any]] = {}

    def __reduce__(self) -> tuple[Callable[[Path], FeatureShards], tuple[Path]]:
        return FeatureShards, (self.folder,)  # another process opens the files itself

    def __len__(self) -> int:
        return len(self._every)

    @property
    def num_bytes(self) -> int:
        """Of all rows on disk."""
        return len(self) * self._layout.num_bytes

    def __contains__(self, digest: bytes) -> bool:
        return self._find(digest) is not None

    def get(self, digest: bytes) -> dict[str, Tensor] | None:
        """The values of an image; None where it is not there.

        Raises `UserError` for a row that is not what was written.
        """
        number = self._find(digest)
        if number is None:
            return None
        shard = int(np.searchsorted(self._first, number, side="right")) - 1
        row = np.array(self._rows_of(shard)[number - self._first[shard]])
        if zlib.crc32(row.tobytes()) != self._every[number]["checksum"]:
            raise self._damaged(self._names[shard], "holds a row whose checksum is wrong")
        return self._layout.features(row)

    def _find(self, digest: bytes) -> int | None:
        head = np.frombuffer(digest[:8], "<u8")[0]
        place = int(np.searchsorted(self._heads, head))
        while place < len(self._heads) and self._heads[place] == head:
            number = int(self._order[place])
            if self._every[number]["digest"].tobytes() == digest:
                return number
            place += 1
        return None

    def _keys_of(self, name: str) -> np.ndarray[Any, Any]:
        rows, keys = self.folder / (name + ROWS), self.folder / (name + KEYS)
        encoded = keys.read_bytes()
        wanted = len(encoded) // _KEY.itemsize * self._layout.num_bytes
        if len(encoded) % _KEY.itemsize or not rows.exists() or rows.stat().st_size != wanted:
            raise self._damaged(name, "is not as long as its keys say")
        return np.frombuffer(encoded, _KEY)

    def _rows_of(self, shard: int) -> np.ndarray[Any, Any]:
        """uint8 [images, bytes of a row], mapped into memory."""
        if shard not in self._maps:
            path = self.folder / (self._names[shard] + ROWS)
            self._maps[shard] = np.memmap(path, np.uint8, "r").reshape(-1, self._layout.num_bytes)
        return self._maps[shard]

    def _damaged(self, name: str, what: str) -> UserError:
        return UserError("features.damaged", where=str(self.folder / (name + ROWS)), what=what,
                         fix=f"delete {name}{KEYS} and {name}{ROWS}; minigpt4 cache makes them again")


def _heads(keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """uint64 [images]: the first eight bytes of each digest."""
    digests = np.frombuffer(keys["digest"].tobytes(), np.uint8).reshape(-1, DIGEST_BYTES)
    heads: np.ndarray[Any, Any] = np.ascontiguousarray(digests[:, :8]).view("<u8")[:, 0]
    return heads


def _layout_in(described: Path) -> RowLayout:
    try:
        values = json.loads(described.read_text(encoding="utf-8"))["row"]
        layout = RowLayout(tuple((str(name), tuple(map(int, shape)), str(dtype)) for name, shape, dtype in values))
        if not all(isinstance(getattr(torch, dtype, None), torch.dtype) for _, _, dtype in layout.values):
            raise ValueError("no such dtype")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("features.identity", where=str(described), what="does not describe stored features",
                        fix="delete its folder; minigpt4 cache makes it again") from error
    return layout
