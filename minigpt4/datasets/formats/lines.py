"""Lines of a text file, read one by one: the file stays on disk, only offsets are in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular, shown
from minigpt4.common.texts import HEAD, SAVE_AS_UTF8, cannot_read, refuse_other_kinds


@dataclass(frozen=True)
class TextLines:
    """The lines of a UTF-8 file that are not blank, N lines.

    `offsets` [N] int64 where each begins, `numbers` [N] int64 its line number in the file from 1.
    """

    path: Path
    offsets: np.ndarray
    numbers: np.ndarray
    digest: str = ""
    """sha256 of the file"""

    @classmethod
    def open(cls, path: Path) -> TextLines:
        """Find the lines. Raises `UserError` if the file cannot be read, or is no UTF-8 text from its beginning."""
        offsets, numbers, offset, digest = [], [], 0, hashlib.sha256()
        try:
            with open_regular(path) as file:
                refuse_other_kinds(path, file.read(HEAD))
                file.seek(0)
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        offsets.append(offset)
                        numbers.append(number)
                    offset += len(line)
                    digest.update(line)
        except OSError as error:
            raise cannot_read(path, error, "data.file") from error
        return cls(path, np.array(offsets, dtype=np.int64), np.array(numbers, dtype=np.int64), digest.hexdigest())

    def fingerprint(self) -> str:
        """A hash of the file."""
        return self.digest

    def __len__(self) -> int:
        return len(self.offsets)

    def place(self, number: int) -> str:
        return f"{shown(self.path)}:{self.numbers[number]}"

    def __getitem__(self, number: int) -> str:
        try:
            with open_regular(self.path) as file:
                file.seek(int(self.offsets[number]))
                return file.readline().decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError("data.text", where=self.place(number), what="is not UTF-8 text",
                            fix=SAVE_AS_UTF8) from error
        except OSError as error:
            raise cannot_read(self.path, error, "data.file") from error


@dataclass(frozen=True)
class JsonLines:
    """A JSONL file, one value per line. A line that is not JSON raises `UserError` when it is asked for."""

    lines: TextLines

    @classmethod
    def open(cls, path: Path) -> JsonLines:
        """Find the lines. Raises `UserError` if the file cannot be read, or is one JSON value over all lines."""
        lines = TextLines.open(path)
        if len(lines):
            _refuse_one_value(path, lines)
        return cls(lines)

    def __len__(self) -> int:
        return len(self.lines)

    def fingerprint(self) -> str:
        """A hash of the file."""
        return self.lines.fingerprint()

    def place(self, number: int) -> str:
        return self.lines.place(number)

    def __getitem__(self, number: int) -> Any:
        try:
            return json.loads(self.lines[number])
        except json.JSONDecodeError as error:
            place = f"{self.place(number)}:{error.colno}"
            raise UserError("data.json", where=place, what=f"wrong JSON ({error.msg})") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
            raise UserError("data.json", where=self.place(number), what=f"unusual JSON ({error})") from error


def _refuse_one_value(path: Path, lines: TextLines) -> None:
    """Raise `UserError` for a list, or an object that is spread over lines: JSON where JSON lines are wanted."""
    try:
        first = lines[0].strip()
    except UserError:
        return  # told line by line
    if first.startswith("["):
        raise UserError("data.json", where=shown(path), what="is one JSON list, not a JSON object per line",
                        fix="write each object on a line of its own, or read the list with the data set llava_instruct")
    if first == "{":
        raise UserError("data.json", where=shown(path), what="is JSON spread over lines, not a JSON object per line",
                        fix="write each object on a single line")
