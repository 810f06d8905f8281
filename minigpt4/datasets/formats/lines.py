"""Lines of a text file, read one by one: the file stays on disk, only offsets are in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigpt4.common.errors import UserError


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
        """Find the lines. Raises `UserError` if the file cannot be read."""
        offsets, numbers, offset, digest = [], [], 0, hashlib.sha256()
        try:
            with open(path, "rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        offsets.append(offset)
                        numbers.append(number)
                    offset += len(line)
                    digest.update(line)
        except OSError as error:
            raise UserError("data.file", where=str(path), what=f"cannot be read ({error.strerror})") from error
        return cls(path, np.array(offsets, dtype=np.int64), np.array(numbers, dtype=np.int64), digest.hexdigest())

    def fingerprint(self) -> str:
        """A hash of the file."""
        return self.digest

    def __len__(self) -> int:
        return len(self.offsets)

    def place(self, number: int) -> str:
        return f"{self.path}:{self.numbers[number]}"

    def __getitem__(self, number: int) -> str:
        try:
            with open(self.path, "rb") as file:
                file.seek(int(self.offsets[number]))
                return file.readline().decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError("data.text", where=self.place(number), what="is not UTF-8 text") from error
        except OSError as error:
            raise UserError("data.file", where=str(self.path), what=f"cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class JsonLines:
    """A JSONL file, one value per line. A line that is not JSON raises `UserError` when it is asked for."""

    lines: TextLines

    @classmethod
    def open(cls, path: Path) -> JsonLines:
        return cls(TextLines.open(path))

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
