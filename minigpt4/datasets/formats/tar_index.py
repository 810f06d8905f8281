"""An own index of local image-caption tars: which bytes of which shard are image, json and txt of sample i.

Members are grouped by key (the name up to its first dot) as webdataset does, but wherever they stand in their shard;
S samples -> `rows` [S]. Names with more dots (a.v2.jpg, a.v2.txt) are pairs by their last dot, where a key has no
member with one dot. What belongs to no sample is counted by its ending. Order is that of shards and of the
samples' first members, so sample i is the same in every process. The rows are in one array without Python objects:
worker processes share its memory, or map the same file where the index is kept (`build_info.index`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, shown, write_json
from minigpt4.datasets.formats.tar_walk import CutTar, Member, tar_members
from minigpt4.processors.file_formats import READ_ENDINGS, UNREAD_ENDINGS
from minigpt4.records.conversations import Unreadable

log = logging.getLogger(__name__)

PARTS = ("image", "json", "txt")
IMAGE_ENDINGS = READ_ENDINGS | UNREAD_ENDINGS
"""an image that is not read here is named when it is opened"""
LONGEST_KEY = 4096
"""bytes of a name; a longer one would be reserved in every row"""
LISTED_ENDINGS = 8
VERSION = "2"
"""of the kept form"""

Range = tuple[int, int]
"""offset and length; offset -1 = the part is absent"""

_ABSENT: Range = (-1, 0)


@dataclass
class _Group:
    """Members of one key, by part; `order` is the number of the first one in its shard."""

    key: str
    order: int
    parts: dict[str, Range] = field(default_factory=dict)
    endings: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not _IMAGES.isdisjoint(self.parts) and bool(self.parts.keys() - _IMAGES)

    def row(self, shard: int) -> tuple[Any, ...]:
        parts = {"image": self.parts.get(_UNREAD, _ABSENT), **self.parts}
        return (shard, self.key.encode("utf-8", "surrogateescape"), *(parts.get(part, _ABSENT) for part in PARTS))


_UNREAD = "unread image"
_IMAGES = frozenset(("image", _UNREAD))


class _Groups:
    """The samples of one shard, as its members come."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._plain: dict[str, _Group] = {}
        self._dotted: dict[str, _Group] = {}
        self._repeated: list[_Group] = []
        self._count = 0

    def add(self, member: Member) -> None:
        key, ending = _key_and_ending(member.name)
        self._count += 1
        if (part := _part_of(ending)) is not None and len(key) <= LONGEST_KEY:
            self._put(self._plain, key, part, ending, member)
            return
        dotted, last = key + "." + ending.rpartition(".")[0], ending.rpartition(".")[2]
        if "." in ending and (part := _part_of(last)) is not None and len(dotted) <= LONGEST_KEY:
            dotted = member.name[: len(dotted)]  # as it is written, not in lower case
            self._put(self._dotted, dotted, part, ending, member)
        else:
            self.left_out[ending] += 1

    def finished(self) -> list[_Group]:
        """All samples in the order of their first members; the rest is counted as left out."""
        groups = [*self._plain.values(), *self._repeated]
        for key, group in self._dotted.items():
            if group.complete and _key_and_ending(key)[0] not in self._plain:
                groups.append(group)
            else:
                self.left_out.update(group.endings)
        return sorted(groups, key=lambda group: group.order)

    def drop(self, key: str) -> None:
        """Forget a sample of which a member is cut."""
        for groups in (self._plain, self._dotted):
            groups.pop(key, None)

    def drop_last_if_incomplete(self) -> None:
        """Forget the sample that the archive ended within, if it did."""
        for groups in (self._plain, self._dotted):
            last = next(reversed(groups.values()), None)
            if last is not None and not last.complete:
                groups.pop(last.key)

    def _put(self, groups: dict[str, _Group], key: str, part: str, ending: str, member: Member) -> None:
        group = groups.get(key)
        if group is None or part in group.parts:
            if group is not None:
                self._repeated.append(groups.pop(key))
            group = groups[key] = _Group(key, self._count)
        group.parts[part] = (member.offset, member.length)
        group.endings.append(ending)


@dataclass(frozen=True)
class ShardIndex:
    """Rows of all shards. Travels to other processes as a file name where it is kept in one."""

    shards: tuple[Path, ...]
    rows: np.ndarray
    """[S] with fields shard, key, image, json, txt"""
    damaged: tuple[Unreadable, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """ending -> members of that ending that belong to no sample"""
    kept: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def fingerprint(self) -> str:
        """A hash of the names, places and sizes of all members."""
        return hashlib.sha256(np.ascontiguousarray(self.rows).view(np.uint8).data).hexdigest()

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
        facts = json.loads(kept.with_suffix(".json").read_text(encoding="utf-8"))
        damaged = tuple(Unreadable(**entry) for entry in facts["damaged"])
        return ShardIndex(tuple(shards), np.load(kept, mmap_mode="r"), damaged, facts["left_out"], kept)
    rows: list[tuple[Any, ...]] = []
    damaged_shards: list[Unreadable] = []
    left_out: Counter[str] = Counter()
    for number, path in enumerate(shards):
        groups, damage = _groups_of(path, left_out)
        rows += [group.row(number) for group in groups]
        damaged_shards += [damage] if damage else []
    if left_out:
        log.warning("%s: members left out, as they belong to no sample: %s", shard_name(shards[0]), counted(left_out))
    array = np.array(rows, dtype=_row_type(rows))
    if kept is None:
        return ShardIndex(tuple(shards), array, tuple(damaged_shards), left_out)
    _keep(kept, array, damaged_shards, left_out)
    return ShardIndex(tuple(shards), np.load(kept, mmap_mode="r"), tuple(damaged_shards), left_out, kept)


def counted(left_out: Mapping[str, int]) -> str:
    """Endings with their counts, the most frequent first: '6 .v2.jpg, 1 .cls'."""
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    more = [f"{len(ordered) - LISTED_ENDINGS} other endings"] if len(ordered) > LISTED_ENDINGS else []
    return ", ".join([*(f"{count} .{shown(ending)[:40]}" for ending, count in ordered[:LISTED_ENDINGS]), *more])


def _row_type(rows: list[tuple[Any, ...]]) -> np.dtype[Any]:
    longest = max((len(row[1]) for row in rows), default=1)
    return np.dtype([("shard", "<i4"), ("key", f"S{longest}"), *((part, "<i8", 2) for part in PARTS)])


def _groups_of(path: Path, left_out: Counter[str]) -> tuple[list[_Group], Unreadable | None]:
    """Samples of one shard, and what is wrong with its end; adds to the counts of members without a sample."""
    groups, damage = _Groups(), None
    try:
        for member in tar_members(path):
            groups.add(member)
    except CutTar as cut:
        damage = _damage(path, cut)
        groups.drop(_key_and_ending(cut.member)[0])
        groups.drop_last_if_incomplete()
    found = groups.finished()
    left_out.update(groups.left_out)
    if damage is not None:
        log.warning("%s: %s; its %d samples before that are used", damage.source, damage.reason, len(found))
    return found, damage


def _part_of(ending: str) -> str | None:
    """Which part of a sample a member with this ending is; None for those of no use here."""
    if ending in READ_ENDINGS:
        return "image"
    return _UNREAD if ending in UNREAD_ENDINGS else ending if ending in PARTS[1:] else None


def _key_and_ending(name: str) -> tuple[str, str]:
    """'a/000123.seg.png' -> ('a/000123', 'seg.png')."""
    folder, slash, file = name.rpartition("/")
    stem, _, ending = file.partition(".")
    return folder + slash + stem, ending.lower()


def _damage(path: Path, cut: CutTar) -> Unreadable:
    source = shard_name(path) + (f", member {cut.member}" if cut.member else "")
    return Unreadable(shown(f"{path.stem}/{cut.member}"), shown(source), cut.reason, "data.shard_cut")


def _fingerprint(shards: Sequence[Path]) -> str:
    digest = hashlib.sha256(VERSION.encode())
    for path in shards:
        try:
            facts = path.stat()
        except OSError as error:
            raise UserError("data.shard", where=str(path), what=f"cannot be read ({error.strerror})",
                            fix="see docs/data.md#shards") from error
        digest.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _keep(kept: Path, rows: np.ndarray, damaged: list[Unreadable], left_out: Mapping[str, int]) -> None:
    facts = {"damaged": [vars(entry) for entry in damaged],
             "left_out": {shown(ending): count for ending, count in left_out.items()}}
    write_json(kept.with_suffix(".json"), facts)
    with atomic_file(kept) as part, open(part, "wb") as file:
        np.save(file, rows)
