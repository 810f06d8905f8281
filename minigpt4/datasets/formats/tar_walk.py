"""Walk over the headers of a tar and know where it is whole.

Python's tarfile ends in silence at a cut or a damaged header, and so does everything built on it: a shard that lost
half its samples looks like a short one. This walk says where and why it stopped.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular
from minigpt4.common.texts import cannot_read

BLOCK = 512


@dataclass(frozen=True)
class Member:
    """A complete file inside a tar: its bytes are at [offset, offset + length) of the archive."""

    name: str
    offset: int
    length: int


class CutTar(Exception):
    """The archive is not whole. `member` is the one it ends in, where that is known."""

    def __init__(self, reason: str, member: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.member = member


def tar_members(path: Path) -> Iterator[Member]:
    """The complete regular files of a tar in order.

    Raises:
        CutTar: after the last complete member, where the archive does not end as it should.
        UserError: where the file cannot be opened or is compressed.
    """
    try:
        with open_regular(path) as file:
            _refuse_compressed(file, path)
            size = file.seek(0, 2)
            file.seek(0)
            yield from _walk(file, size)
    except OSError as error:
        raise cannot_read(path, error, "data.shard") from error


def _walk(file: BinaryIO, size: int) -> Iterator[Member]:
    offset, long_name = 0, ""
    while True:
        info = _header(file, offset)
        if info is None:
            return
        data, name = offset + BLOCK, long_name or info.name
        if info.size < 0:
            raise CutTar(f"archive has a damaged header at byte {offset} (a size of {info.size})", name)
        if data + info.size > size:
            raise CutTar("archive ends in the middle of this member", name)
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
            file.seek(data)
            long_name = _long_name(file.read(info.size), info.type)
        else:
            if info.isreg():
                yield Member(name, data, info.size)
            long_name = ""
        offset = data + -(-info.size // BLOCK) * BLOCK


def _header(file: BinaryIO, offset: int) -> tarfile.TarInfo | None:
    """The header at an offset; None at the end mark."""
    file.seek(offset)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise CutTar("archive ends without its end mark" if not block else "archive ends in the middle of a header")
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise CutTar(f"archive has a damaged header at byte {offset} ({error})") from error


def _long_name(data: bytes, kind: bytes) -> str:
    """Name of the next member from a GNU long name or a pax header; empty if the header says nothing of it."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return data.rstrip(b"\0").decode("utf-8", "surrogateescape")
    for line in data.split(b"\n"):
        key, _, value = line.partition(b" ")[2].partition(b"=")
        if key == b"path":
            return value.decode("utf-8", "surrogateescape")
    return ""


def _refuse_compressed(file: BinaryIO, path: Path) -> None:
    start = file.read(6)
    if start[:2] == b"\x1f\x8b" or start[:3] == b"BZh" or start == b"\xfd7zXZ\0":
        raise UserError("data.shard", where=str(path), what="is a compressed tar, which has no fast way to one sample",
                        fix="unpack it to a plain .tar (images are compressed already)")
