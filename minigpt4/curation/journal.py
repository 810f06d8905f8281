"""What has happened to each image so far: a JSONL file to which lines are added, so that every step can be resumed.

The last line of an image counts. A half line at the end, which a kill leaves, is cut off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from minigpt4.common.errors import UserError
from minigpt4.common.files import shown

JOURNAL = "curation.jsonl"
Decision = Literal["", "keep", "drop"]


@dataclass(frozen=True)
class Entry:
    """One image.

    Args:
        image: its path relative to the folder of images.
        drafts: what the model wrote, one text a turn.
        polished: what the endpoint made of it; empty where none was asked, or not yet.
        dropped: why it is left out; empty = it is not.
        decision: what a person said; empty = nobody has.
        attempts: failures of the endpoint, in words.
    """

    image: str
    drafts: tuple[str, ...] = ()
    polished: str = ""
    dropped: str = ""
    decision: Decision = ""
    attempts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The description as it stands."""
        return self.polished or " ".join(self.drafts)

    @property
    def is_kept(self) -> bool:
        """A person's word counts more than a rule's."""
        return bool(self.text) and (self.decision == "keep" or (self.decision == "" and not self.dropped))


class Journal:
    """The entries of a folder.

    Args:
        folder: holds the file, or will.

    Raises:
        UserError: a line of it is something else.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / JOURNAL
        self._entries: dict[str, Entry] = {}
        if self.file.exists():
            self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """In the order in which images came first."""
        return iter(list(self._entries.values()))

    def get(self, image: str) -> Entry | None:
        return self._entries.get(image)

    def put(self, entry: Entry) -> None:
        """Add a line. Raises `UserError` where the disk is full or the folder is not writable."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.file, "ab") as file:
                file.write(json.dumps(asdict(entry), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        except OSError as error:
            raise UserError("file.write", where=shown(self.file), what=f"cannot be written ({error.strerror or error})",
                            fix="free space; the same command continues") from error
        self._entries[entry.image] = entry

    def decide(self, image: str, decision: Decision) -> Entry:
        """Note what a person said. Raises `KeyError` for an image that is not there."""
        entry = replace(self._entries[image], decision=decision)
        self.put(entry)
        return entry

    def _read(self) -> None:
        content = self.file.read_bytes()
        *lines, rest = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            entry = _entry_of(line, f"{shown(self.file)}:{number}")
            self._entries[entry.image] = entry
        if rest:
            os.truncate(self.file, len(content) - len(rest))


def _entry_of(line: bytes, where: str) -> Entry:
    try:
        values = json.loads(line)
        return Entry(str(values["image"]), tuple(map(str, values["drafts"])), str(values["polished"]),
                     str(values["dropped"]), values["decision"], tuple(map(str, values["attempts"])))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("curate.journal", where=where, what="is no line of a curation",
                        fix="give --output a folder of its own") from error
