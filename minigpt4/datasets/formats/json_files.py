"""A JSON file that is one long list, held as bytes.

A parsed list of a million dictionaries is copied into every worker process as soon as Python counts references to it;
packed bytes are shared.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigpt4.common.errors import UserError


@dataclass(frozen=True)
class PackedRecords:
    """N records as JSON bytes end to end; `ends` [N] int64 is where each ends in `packed`."""

    path: Path
    packed: np.ndarray
    ends: np.ndarray

    @classmethod
    def pack(cls, path: Path, records: Sequence[Any]) -> PackedRecords:
        pieces = [json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") for record in records]
        ends = np.fromiter(itertools.accumulate(len(piece) for piece in pieces), np.int64, len(pieces))
        return cls(path, np.frombuffer(b"".join(pieces), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def fingerprint(self) -> str:
        """A hash of all records."""
        return hashlib.sha256(self.packed.tobytes()).hexdigest()

    def place(self, number: int) -> str:
        return f"{self.path}, record {number}"

    def __getitem__(self, number: int) -> Any:
        start = int(self.ends[number - 1]) if number else 0
        return json.loads(self.packed[start : int(self.ends[number])].tobytes().decode("utf-8", "surrogatepass"))


def read_json_list(path: Path, key: str = "annotations") -> PackedRecords:
    """A JSON file that is a list, or an object with the list under `key`.

    Raises `UserError` with file, line and column if it is not JSON, or if it has no list.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserError("data.json", where=f"{path}:{error.lineno}:{error.colno}", what=f"wrong JSON ({error.msg})",
                        fix="fix the file there; nothing of it was used") from error
    except UnicodeDecodeError as error:
        raise UserError("data.json", where=str(path), what=f"is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UserError("data.json", where=str(path), what=f"cannot be read ({error.strerror})") from error
    records = value.get(key) if isinstance(value, dict) else value
    if not isinstance(records, list):
        raise UserError("data.json", where=str(path), what=f"is not a list and has no list under '{key}'",
                        fix="see docs/data.md for the layout")
    return PackedRecords.pack(path, records)
