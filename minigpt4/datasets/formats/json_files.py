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
from minigpt4.common.files import shown
from minigpt4.common.texts import read_text
from minigpt4.datasets.record_fields import names_of


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
        return hashlib.sha256(self.packed.data).hexdigest()

    def place(self, number: int) -> str:
        return f"{self.path}, record {number}"

    def __getitem__(self, number: int) -> Any:
        start = int(self.ends[number - 1]) if number else 0
        return json.loads(self.packed[start : int(self.ends[number])].tobytes().decode("utf-8", "surrogatepass"))


def read_json_list(path: Path, key: str = "annotations") -> PackedRecords:
    """A JSON file that is a list, or an object with the list under `key`.

    Raises `UserError` with file, line and column if it is not JSON, or if it has no list.
    """
    value, where = _parsed(path), shown(path)
    records = value.get(key) if isinstance(value, dict) else value
    if not isinstance(records, list):
        kind = f"object with {names_of(value)}" if isinstance(value, dict) else type(value).__name__
        raise UserError("data.json", where=where, what=f"is not a list and has no list under '{key}', but one {kind}",
                        fix="write all records as one list: [{…}, {…}]")
    return PackedRecords.pack(path, records)


def _parsed(path: Path) -> Any:
    text, where = read_text(path, "data.json"), shown(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and _is_object(text[: error.pos]):
            raise UserError("data.json", where=f"{where}:{error.lineno}", what="has a JSON object per line, and one "
                            "list of all is wanted here", fix="read it with the data set image_jsonl, or write "
                            "[ before, commas between and ] behind the objects") from error
        raise UserError("data.json", where=f"{where}:{error.lineno}:{error.colno}", what=f"wrong JSON ({error.msg})",
                        fix="fix the file there; nothing of it was used") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise UserError("data.json", where=where, what=f"unusual JSON ({error})") from error


def _is_object(text: str) -> bool:
    return text.strip().startswith("{") and text.strip().endswith("}")
