"""An own index of local image-caption tars: which bytes of which shard are image, json and txt of sample i.

Members are grouped by key (the name up to its first dot) as webdataset does, S samples -> `rows` [S]. Order is that of
shards and members, so sample i is the same in every process. The rows are in one array without Python objects: worker
processes share its memory, or map the same file where the index is kept (`build_info.index`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, write_json
from minigpt4.datasets.formats.tar_walk import CutTar, Member, tar_members
from minigpt4.records.conversations import Unreadable

log = logging.getLogger(__name__)

PARTS = ("image", "json", "txt")
IMAGE_ENDINGS = frozenset("jpg jpeg jpe jfif png webp gif bmp tif tiff ppm pgm avif jp2".split())

Range = tuple[int, int]
"""offset and length; offset -1 = the part is absent"""

_ABSENT: Range = (-1, 0)


@dataclass
class _Group:
    key: str
    parts: dict[str, Range] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return "image" in self.parts and len(self.parts) > 1

    def row(self, shard: int) -> tuple[Any, ...]:
        return (shard, self.key.encode("utf-8", "surrogateescape"), *(self.parts.get(part, _ABSENT) for part in PARTS))


@dataclass(frozen=True)
class ShardIndex:
    """Rows of all shards. Travels to other processes as a file name where it is kept in one."""

    shards: tuple[Path, ...]
    rows: np.ndarray
    """[S] with fields shard, key, image, json, txt"""
    damaged: tuple[Unreadable, ...] = ()
    kept: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def fingerprint(self) -> str:
        """A hash of the names, places and sizes of all members."""
        return hashlib.sha256(np.ascontiguousarray(self.rows).tobytes()).hexdigest()

    def shard_of(self, number: int) -> Path:
        return self.shards[int(self.rows[number]["shard"])]

    def key_of(self, number: int) -> str:
        key: bytes = self.rows[number]["key"]
        return key.decode("utf-8", "surrogateescape")

    def range_of(self, number: int, part: str) -> Range | None:
        """Offset and length of 'image', 'json' or 'txt' in the shard; None if the sample has none."""
        offset, length = self.rows[number][part]
        return None if offset < 0 else (int(offset), int(length))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "rows": None} if self.kept else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.kept:
            self.__dict__["rows"] = np.load(self.kept, mmap_mode="r")


def shard_name(path: Path) -> str:
    """What sentences call a shard: with its folder, as every data set has a 00000.tar."""
    return f"shard {path.parent.name}/{path.name}" if path.parent.name else f"shard {path.name}"


def index_shards(shards: Sequence[Path], keep_in: Path | None = None) -> ShardIndex:
    """The index of these shards.

    Args:
        shards: paths of plain tars.
        keep_in: folder where the index is kept and found again as long as no shard's size or date changes.

    Raises:
        UserError: a shard that is absent or compressed. A truncated one is reported in `damaged`; its complete samples
        are used.
    """
    kept = keep_in / f"{_fingerprint(shards)}.npy" if keep_in else None
    if kept and kept.exists():
        damaged = tuple(Unreadable(**entry) for entry in json.loads(kept.with_suffix(".json").read_text()))
        return ShardIndex(tuple(shards), np.load(kept, mmap_mode="r"), damaged, kept)
    rows: list[tuple[Any, ...]] = []
    damaged_shards: list[Unreadable] = []
    for number, path in enumerate(shards):
        groups, damage = _groups_of(path)
        rows += [group.row(number) for group in groups]
        damaged_shards += [damage] if damage else []
    array = np.array(rows, dtype=_row_type(rows))
    if kept is None:
        return ShardIndex(tuple(shards), array, tuple(damaged_shards))
    _keep(kept, array, damaged_shards)
    return ShardIndex(tuple(shards), np.load(kept, mmap_mode="r"), tuple(damaged_shards), kept)


def _row_type(rows: list[tuple[Any, ...]]) -> np.dtype[Any]:
    longest = max((len(row[1]) for row in rows), default=1)
    return np.dtype([("shard", "<i4"), ("key", f"S{longest}"), *((part, "<i8", 2) for part in PARTS)])


def _groups_of(path: Path) -> tuple[list[_Group], Unreadable | None]:
    """Samples of one shard, and what is wrong with its end."""
    groups: list[_Group] = []
    try:
        for member in tar_members(path):
            _add(groups, member)
    except CutTar as cut:
        damage = _damage(path, cut)
        if groups and (groups[-1].key == _key_and_ending(cut.member)[0] or not groups[-1].complete):
            groups.pop()
        log.warning("%s: %s; its %d samples before that are used", damage.source, damage.reason, len(groups))
        return groups, damage
    return groups, None


def _add(groups: list[_Group], member: Member) -> None:
    key, ending = _key_and_ending(member.name)
    part = "image" if ending in IMAGE_ENDINGS else ending
    if part not in PARTS:
        return
    if not groups or groups[-1].key != key or part in groups[-1].parts:
        groups.append(_Group(key))
    groups[-1].parts[part] = (member.offset, member.length)


def _key_and_ending(name: str) -> tuple[str, str]:
    """'a/000123.seg.png' -> ('a/000123', 'seg.png')."""
    folder, slash, file = name.rpartition("/")
    stem, _, ending = file.partition(".")
    return folder + slash + stem, ending.lower()


def _damage(path: Path, cut: CutTar) -> Unreadable:
    member = f", member {cut.member}" if cut.member else ""
    return Unreadable(f"{path.stem}/{cut.member}", shard_name(path) + member, cut.reason, "data.shard_cut")


def _fingerprint(shards: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in shards:
        try:
            facts = path.stat()
        except OSError as error:
            raise UserError("data.shard", where=str(path), what=f"cannot be read ({error.strerror})",
                            fix="see docs/data.md#shards") from error
        digest.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _keep(kept: Path, rows: np.ndarray, damaged: list[Unreadable]) -> None:
    write_json(kept.with_suffix(".json"), [vars(entry) for entry in damaged])
    with atomic_file(kept) as part, open(part, "wb") as file:
        np.save(file, rows)
