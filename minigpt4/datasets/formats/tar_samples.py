"""The samples of one tar of image-caption pairs: which of its bytes are image, json and txt of each.

Members are grouped by key (the name up to its first dot) as webdataset does, but wherever they stand in their shard.
Names with more dots (a.v2.jpg, a.v2.txt) are pairs by their last dot, where a key has no member with one dot. What
belongs to no sample is counted by its ending. The samples' order is that of their first members.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.datasets.formats.tar_walk import BLOCK, CutTar, Member, tar_members
from minigpt4.processors.file_formats import READ_ENDINGS, UNREAD_ENDINGS
from minigpt4.records.conversations import Unreadable

PARTS = ("image", "json", "txt")
LONGEST_KEY = 4096
"""characters of a name; a longer one belongs to no sample"""

ROW = np.dtype([("blocks", "<u4", len(PARTS)), ("lengths", "<u4", len(PARTS)), ("key_end", "<u4")])
"""a sample in 28 bytes: where image, json and txt begin, in blocks of 512 bytes (0 = absent: a header comes first);
their lengths; where its key ends among the keys of its shard"""
_LARGEST = 2 ** 32 - 1
"""in a row; an image of 4 GiB or more is refused by its size whatever the row says (`processors.decoding.MAX_BYTES`)"""

_UNREAD = "unread image"
_IMAGES = frozenset(("image", _UNREAD))
_PART_OF = {**dict.fromkeys(UNREAD_ENDINGS, _UNREAD), **dict.fromkeys(READ_ENDINGS, "image"),
            **{part: part for part in PARTS[1:]}}
"""ending -> part of a sample; an image that is not read here is named when it is opened"""


@dataclass(frozen=True)
class ShardSamples:
    """What one shard holds: S samples."""

    rows: np.ndarray
    """[S] of `ROW`"""
    keys: bytes
    """the samples' keys end to end"""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """ending -> members of that ending that belong to no sample"""
    damage: Unreadable | None = None
    """what is wrong with the end of the archive"""


def samples_of(path: Path) -> ShardSamples:
    """Read the headers of a shard.

    Raises:
        UserError: it is absent or compressed. A truncated one is reported in `damage`; its complete samples are used.
    """
    groups, damage = _Groups(), None
    try:
        for member in tar_members(path):
            groups.add(member)
    except CutTar as cut:
        damage = _damage(path, cut)
        groups.drop(_key_and_ending(cut.member)[0])
        groups.drop_last_if_incomplete()
    rows, keys = _packed(groups.finished(), path)
    return ShardSamples(rows, keys, dict(groups.left_out), damage)


def shard_name(path: Path) -> str:
    """What sentences call a shard: with its folder, as every data set has a 00000.tar."""
    return f"shard {path.parent.name}/{path.name}" if path.parent.name else f"shard {path.name}"


class _Group:
    """Members of one key, by part; `order` is the number of the first one in its shard."""

    __slots__ = ("endings", "key", "order", "parts")

    def __init__(self, key: str, order: int) -> None:
        self.key = key
        self.order = order
        self.parts: dict[str, Member] = {}
        self.endings: list[str] = []

    @property
    def complete(self) -> bool:
        return not _IMAGES.isdisjoint(self.parts) and bool(self.parts.keys() - _IMAGES)


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
        part = _PART_OF.get(ending)
        if part is not None and len(key) <= LONGEST_KEY:
            self._put(self._plain, key, part, ending, member)
            return
        dotted, last = key + "." + ending.rpartition(".")[0], ending.rpartition(".")[2]
        part = _PART_OF.get(last)
        if "." in ending and part is not None and len(dotted) <= LONGEST_KEY:
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
        group.parts[part] = member
        group.endings.append(ending)


def _packed(groups: Sequence[_Group], path: Path) -> tuple[np.ndarray, bytes]:
    keys = [group.key.encode("utf-8", "surrogateescape") for group in groups]
    joined = b"".join(keys)
    places: list[int] = []
    for group in groups:
        image = group.parts.get("image") or group.parts.get(_UNREAD)
        for member in (image, group.parts.get("json"), group.parts.get("txt")):
            places += (member.offset, member.length) if member is not None else (0, 0)
    table = np.array(places, dtype=np.int64).reshape(len(groups), len(PARTS), 2)
    if len(joined) > _LARGEST or (table.size and table[..., 0].max() // BLOCK > _LARGEST):
        raise UserError("data.shard", where=str(path), what="has more than 2 TiB, or more than 4 GiB of names",
                        fix="split it")
    rows = np.zeros(len(groups), dtype=ROW)
    rows["blocks"] = table[..., 0] // BLOCK
    rows["lengths"] = table[..., 1].clip(max=_LARGEST)
    rows["key_end"] = np.fromiter(itertools.accumulate(map(len, keys)), np.int64, len(keys))
    return rows, joined


def _key_and_ending(name: str) -> tuple[str, str]:
    """'a/000123.seg.png' -> ('a/000123', 'seg.png')."""
    if "/" in name:
        folder, slash, file = name.rpartition("/")
        stem, _, ending = file.partition(".")
        return folder + slash + stem, ending.lower()
    stem, _, ending = name.partition(".")
    return stem, ending.lower()


def _damage(path: Path, cut: CutTar) -> Unreadable:
    source = shard_name(path) + (f", member {cut.member}" if cut.member else "")
    return Unreadable(shown(f"{path.stem}/{cut.member}"), shown(source), cut.reason, "data.shard_cut")
