"""Text files of people: UTF-8 with or without a byte order mark, and one sentence about every other."""

from __future__ import annotations

import codecs
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular, shown

SAVE_AS_UTF8 = "save the file as UTF-8"

HEAD = 4096
"""bytes at the beginning of a file that tell whether it is text"""

_MARKS = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
          (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))
_PACKED = ((b"\x1f\x8b", "gzip"), (b"PK\3\4", "ZIP"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"),
           (b"\x28\xb5\x2f\xfd", "Zstandard"), (b"PAR1", "Parquet"), (b"SQLite format 3\0", "SQLite"))


def read_text(path: Path, code: str) -> str:
    """The whole of a UTF-8 file, without its byte order mark.

    Args:
        path: the file.
        code: of the error.

    Raises:
        UserError: absent, no regular file, or not UTF-8: then with the line.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise cannot_read(path, error, code) from error
    refuse_other_kinds(path, content[:HEAD], code)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(code, where=f"{shown(path)}:{line}", what=not_utf8(error), fix=SAVE_AS_UTF8) from error


def cannot_read(path: Path, error: OSError, code: str) -> UserError:
    """The sentence for a file that cannot be opened."""
    said = str(error.strerror or error)
    return UserError(code, where=shown(path), what=said if said.startswith("is ") else f"cannot be read ({said})")


def not_utf8(error: UnicodeDecodeError) -> str:
    """What a sentence says of bytes that are no UTF-8."""
    return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x})"


def refuse_other_kinds(path: Path, start: bytes, code: str = "data.file") -> None:
    """Raise `UserError` if a file that begins so is another encoding's, packed, or no text."""
    where = shown(path)
    for mark, name in _MARKS:
        if start.startswith(mark):
            raise UserError(code, where=where, what=f"is {name} text, not UTF-8", fix=SAVE_AS_UTF8)
    for magic, name in _PACKED:
        if start.startswith(magic):
            raise UserError(code, where=where, what=f"is no text but a {name} file", fix="unpack or convert it to text")
    if b"\0" in start:
        raise UserError(code, where=where, what="contains null characters, so it is UTF-16 text or no text at all",
                        fix=SAVE_AS_UTF8)
