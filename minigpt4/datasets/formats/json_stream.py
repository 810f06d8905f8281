"""The objects of a JSON list that is larger than memory, one after another.

Lists of 115 million objects (20 GB) are read in constant memory; where the next object begins is known in bytes, so
that a reader can go on there.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular, shown
from minigpt4.common.texts import SAVE_AS_UTF8, cannot_read, refuse_other_kinds

CHUNK = 1 << 20
LONGEST = 1 << 24
"""characters of one object; what is still open then is not a list of objects"""

_BETWEEN = re.compile(r"[\s,]*")
_BEGIN = re.compile(r"\ufeff?\s*\[?")


class JsonObjects:
    """Iterates over the objects of a list `[{…}, …]`, or of lines with one each.

    Args:
        path: the file.
        offset: byte at which an object begins or the last one ended: `place` of an earlier reader.
        number: how many objects came before it, for error sentences.
    """

    def __init__(self, path: Path, offset: int = 0, number: int = 0) -> None:
        self.path = path
        self.number = number
        self._offset = offset
        """of the first character of `_text`"""
        self._text = ""
        self._position = 0

    @property
    def place(self) -> int:
        """Bytes before what is read next."""
        return self._offset + len(self._text[: self._position].encode())

    def __iter__(self) -> Iterator[Any]:
        """Raises `UserError` with the number of the object that is not JSON, for another kind of file and other text.
        """
        try:
            with open_regular(self.path) as file:
                refuse_other_kinds(self.path, file.read(4096), "data.json")
                file.seek(self._offset)
                yield from self._objects(iter(lambda: file.read(CHUNK), b""))
        except OSError as error:
            raise cannot_read(self.path, error, "data.json") from error

    def _objects(self, chunks: Iterator[bytes]) -> Iterator[Any]:
        decoder, scan = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder().raw_decode
        whole, begin = False, _BEGIN if self._offset == 0 else _BETWEEN
        while True:
            start = begin.match(self._text, self._position).end()  # type: ignore[union-attr]
            start = _BETWEEN.match(self._text, start).end()  # type: ignore[union-attr]
            error: json.JSONDecodeError | RecursionError | ValueError | None = None
            if self._text[start : start + 1] == "]":
                return
            if start < len(self._text):
                if self._text[start] != "{":
                    raise self._wrong(f"begins with {self._text[start : start + 20]!r}, not with {{")
                try:
                    value, self._position = scan(self._text, start)
                except (ValueError, RecursionError) as found:  # JSONDecodeError is a ValueError
                    error = found
                else:
                    begin = _BETWEEN
                    self.number += 1
                    yield value
                    continue
            if whole and error is None:
                return
            if whole or len(self._text) - start > LONGEST:
                raise self._wrong(f"wrong JSON ({getattr(error, 'msg', error)})")
            whole = self._more(chunks, decoder)

    def _more(self, chunks: Iterator[bytes], decoder: codecs.IncrementalDecoder) -> bool:
        """Read on, forgetting what was used; True at the end of the file."""
        chunk = next(chunks, b"")
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise self._wrong("is not UTF-8 text", SAVE_AS_UTF8) from error
        self._offset, self._text = self.place, self._text[self._position :] + text
        self._position = 0
        return not chunk

    def _wrong(self, what: str, fix: str = "fix the file there, or download it again") -> UserError:
        return UserError("data.json", where=f"{shown(self.path)}, object {self.number}", what=what, fix=fix)
