"""An own index of local image-caption tars: which bytes of which shard are image, json and txt of sample i.

N shards, S samples. `rows` [S] and the keys are two flat arrays without Python objects, one stretch a shard, in the
order of shards and of the samples' first members: sample i is the same in every process. Where they lie in a folder
(`index_building.py`), all processes map the same files; 28 bytes and the key a sample.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigpt4.common.files import shown
from minigpt4.datasets.formats.tar_samples import PARTS, ROW, ShardSamples
from minigpt4.datasets.formats.tar_walk import BLOCK
from minigpt4.records.conversations import Unreadable

SHARD = np.dtype([("size", "<i8"), ("changed", "<i8"), ("samples", "<i8"), ("key_bytes", "<i8"), ("crc", "<u4")])
"""a shard when it was read: bytes and nanoseconds of its file; what it holds; a checksum of its rows and keys"""
ROWS, KEYS, SHARDS, FACTS, NOTES = "rows.bin", "keys.bin", "shards.bin", "facts.json", "notes.jsonl"
"""files of an index; NOTES has a line for every shard with damage or members left out"""
VERSION = 3
LISTED_ENDINGS = 8

_PIECE = 4096
"""rows whose fingerprint is made at once"""

Range = tuple[int, int]
"""offset and length"""


@dataclass(frozen=True)
class ShardIndex:
    """Rows and keys of all shards. Travels to other processes as a file name where it is kept in one."""

    shards: tuple[Path, ...]
    rows: np.ndarray
    """[S] of `tar_samples.ROW`"""
    keys: np.ndarray
    """uint8, keys of all samples end to end"""
    first_rows: np.ndarray
    """[N] int64: number of each shard's first sample"""
    first_keys: np.ndarray
    """[N] int64: where each shard's keys begin"""
    digest: str
    damaged: tuple[Unreadable, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """ending -> members of that ending that belong to no sample"""
    kept: Path | None = None
    """the folder it is mapped from"""

    def __len__(self) -> int:
        return len(self.rows)

    def fingerprint(self) -> str:
        """A hash of the names, places and sizes of all members."""
        return self.digest

    def shard_of(self, number: int) -> Path:
        return self.shards[self._shard_number(number)]

    def key_of(self, number: int) -> str:
        shard = self._shard_number(number)
        first = int(self.first_keys[shard])
        start = int(self.rows[number - 1]["key_end"]) if number > self.first_rows[shard] else 0
        key = self.keys[first + start : first + int(self.rows[number]["key_end"])]
        return key.tobytes().decode("utf-8", "surrogateescape")

    def range_of(self, number: int, part: str) -> Range | None:
        """Offset and length of 'image', 'json' or 'txt' in the shard; None if the sample has none."""
        row, column = self.rows[number], PARTS.index(part)
        block = int(row["blocks"][column])
        return (block * BLOCK, int(row["lengths"][column])) if block else None

    def _shard_number(self, number: int) -> int:
        return int(np.searchsorted(self.first_rows, number, side="right")) - 1

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards, "kept": self.kept} if self.kept else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = state["kept"]
        self.__dict__.update(mapped(state["shards"], kept).__dict__ if kept else state)


def in_memory(shards: Sequence[Path], samples: Sequence[ShardSamples]) -> ShardIndex:
    """The index of shards that were just read."""
    counts = np.array([len(each.rows) for each in samples], dtype=np.int64)
    key_bytes = np.array([len(each.keys) for each in samples], dtype=np.int64)
    rows = np.concatenate([each.rows for each in samples]) if samples else np.zeros(0, ROW)
    keys = b"".join(each.keys for each in samples)
    digest = fingerprint_of(counts, key_bytes, lambda first, number: rows[first : first + number],
                            lambda first, number: keys[first : first + number])
    left_out: Counter[str] = Counter()
    for each in samples:
        left_out.update(each.left_out)
    damaged = tuple(each.damage for each in samples if each.damage)
    return ShardIndex(tuple(shards), rows, np.frombuffer(keys, np.uint8), _starts(counts), _starts(key_bytes), digest,
                      damaged, left_out)


def mapped(shards: Sequence[Path], folder: Path) -> ShardIndex:
    """The index that lies in a folder, mapped into memory. Raises OSError or ValueError where a file of it is not as
    the others say."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    table = np.fromfile(folder / SHARDS, SHARD)
    rows = _map(folder / ROWS, ROW, int(table["samples"].sum()))
    keys = _map(folder / KEYS, np.dtype(np.uint8), int(table["key_bytes"].sum()))
    damaged = tuple(Unreadable(**entry) for entry in facts["damaged"])
    return ShardIndex(tuple(shards), rows, keys, _starts(table["samples"]), _starts(table["key_bytes"]),
                      facts["fingerprint"], damaged, facts["left_out"], folder)


def counted(left_out: Mapping[str, int]) -> str:
    """Endings with their counts, the most frequent first: '6 .v2.jpg, 1 .cls'."""
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    more = [f"{len(ordered) - LISTED_ENDINGS} other endings"] if len(ordered) > LISTED_ENDINGS else []
    return ", ".join([*(f"{count} .{shown(ending)[:40]}" for ending, count in ordered[:LISTED_ENDINGS]), *more])


def fingerprint_of(counts: np.ndarray, key_bytes: np.ndarray, rows: Callable[[int, int], np.ndarray],
                   keys: Callable[[int, int], bytes]) -> str:
    """A hash of all rows, as checkpoints keep it: of each sample its shard's number, its key, offsets and lengths.

    Args:
        counts, key_bytes: [N] samples and bytes of keys of each shard.
        rows: (first, number) -> these rows.
        keys: (first, number) -> these bytes of the keys.
    """
    longest = max((int(_key_lengths(piece).max()) for _, piece in _pieces(counts, rows)), default=1)
    form = np.dtype([("shard", "<i4"), ("key", f"S{longest}"), *((part, "<i8", 2) for part in PARTS)])
    digest, first_keys, key_place = hashlib.sha256(), _starts(key_bytes), 0
    shard_before = -1
    for shard, piece in _pieces(counts, rows):
        if shard != shard_before:
            shard_before, key_place = shard, int(first_keys[shard])
        lengths = _key_lengths(piece)
        used = keys(key_place, int(lengths.sum()))
        digest.update(_as_kept(form, shard, piece, lengths, used).view(np.uint8).data)
        key_place += len(used)
    return digest.hexdigest()


def _as_kept(form: np.dtype[Any], shard: int, rows: np.ndarray, lengths: np.ndarray, keys: bytes) -> np.ndarray:
    """Rows with everything at full width: what the fingerprint has always been taken of."""
    wide = np.zeros(len(rows), form)
    wide["shard"] = shard
    longest = form["key"].itemsize
    area = wide.view(np.uint8).reshape(len(rows), form.itemsize)[:, 4 : 4 + longest]
    area[np.arange(longest) < lengths[:, None]] = np.frombuffer(keys, np.uint8)
    for column, part in enumerate(PARTS):
        blocks = rows["blocks"][:, column].astype(np.int64)
        wide[part][:, 0] = np.where(blocks == 0, -1, blocks * BLOCK)
        wide[part][:, 1] = rows["lengths"][:, column]
    return wide


def _pieces(counts: np.ndarray, rows: Callable[[int, int], np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the shard, some rows of it whose `key_end` counts from the first of them)."""
    for shard, (first, number) in enumerate(zip(_starts(counts).tolist(), counts.tolist(), strict=True)):
        for start in range(0, number, _PIECE):
            piece = rows(first + start, min(_PIECE, number - start)).copy()
            before = int(rows(first + start - 1, 1)["key_end"][0]) if start else 0
            piece["key_end"] -= before
            yield shard, piece


def _key_lengths(piece: np.ndarray) -> np.ndarray:
    return np.diff(piece["key_end"].astype(np.int64), prepend=0)


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64) if len(counts) else np.zeros(0, np.int64)


def _map(path: Path, kind: np.dtype[Any], number: int) -> np.ndarray:
    if path.stat().st_size != number * kind.itemsize:
        raise ValueError(f"{path} has {path.stat().st_size} bytes instead of {number * kind.itemsize}")
    return np.memmap(path, kind, "r") if number else np.zeros(0, kind)
