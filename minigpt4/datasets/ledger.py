"""What could not be read: a line each in `unreadable.jsonl`, and the end of the run when it is too much.

A file that is 1 % bad is normal for crawled data; one where a thousand in a row are bad is a wrong path, and a run over
the rest would look well and learn from little.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.records.conversations import Unreadable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnreadableLimits:
    """When the run ends."""

    share: float = 0.01
    """run.max_unreadable"""
    at_least: int = 20
    """fewer never end a run, so that three bad of the first fifty do not"""
    in_a_row: int = 1000
    """so many without a good one between end it, whatever the share"""


class LedgerState(TypedDict):
    """What a checkpoint keeps of a ledger."""

    seen: int
    bad: int
    in_a_row: int


def of_rank(ledgers: Sequence[LedgerState], rank: int, world_size: int) -> LedgerState:
    """What a rank counts on from; where there are more or fewer ranks than before, the first counts on for all."""
    if len(ledgers) == world_size:
        return ledgers[rank]
    if rank > 0:
        return {"seen": 0, "bad": 0, "in_a_row": 0}
    return {"seen": sum(each["seen"] for each in ledgers), "bad": sum(each["bad"] for each in ledgers),
            "in_a_row": max(each["in_a_row"] for each in ledgers)}


class Ledger:
    """Counts good and bad samples of one rank and writes each bad one down once.

    Args:
        path: JSONL to append to; None counts only. Ranks need a file each (`ledger_path`).
        limits: when `note` raises.
    """

    def __init__(self, path: Path | None = None, limits: UnreadableLimits | None = None) -> None:
        self.path = path
        self.limits = limits or UnreadableLimits()
        self.seen = self.bad = self.in_a_row = 0
        self._written = _already_written(path)

    def note_damaged(self, damaged: Sequence[Unreadable]) -> None:
        """Write down files of which a part is lost; their lost samples have no position and are not counted."""
        for entry in damaged:
            self._write(entry)

    def note(self, num_good: int, unreadable: Sequence[Unreadable]) -> None:
        """Count a batch. Raises `UserError` (code of the last bad sample) past the limits."""
        self.seen += num_good + len(unreadable)
        self.bad += len(unreadable)
        self.in_a_row = self.in_a_row + len(unreadable) if not num_good else len(unreadable)
        for entry in unreadable:
            self._write(entry)
        if unreadable:
            self._judge(unreadable[-1])

    def _judge(self, last: Unreadable) -> None:
        limits = self.limits
        if self.in_a_row >= limits.in_a_row:
            rule = f"{self.in_a_row} in a row; the run ends at {limits.in_a_row}"
        elif self.bad >= limits.at_least and self.bad > limits.share * self.seen:
            rule = f"{self.bad} of {self.seen} so far; the run ends past {limits.share * 100:g} % and {limits.at_least}"
        else:
            return
        listed = f", all are listed in {self.path}" if self.path else ""
        raise UserError(last.code, where=last.source, what=f"{last.cause} ({rule})",
                        fix=f"see docs/data.md#shards{listed}")

    def state(self) -> LedgerState:
        return {"seen": self.seen, "bad": self.bad, "in_a_row": self.in_a_row}

    def load_state(self, state: LedgerState) -> None:
        self.seen, self.bad, self.in_a_row = state["seen"], state["bad"], state["in_a_row"]

    def _write(self, entry: Unreadable) -> None:
        key = shown(entry.id), shown(entry.source)
        if key in self._written:
            return
        self._written.add(key)
        log.warning("unreadable: %s", entry)
        if self.path:
            line = {key: shown(value) for key, value in asdict(entry).items() if value}
            self._append(self.path, json.dumps(line, ensure_ascii=False) + "\n")

    def _append(self, path: Path, line: str) -> None:
        """Write a line; a run whose disk is full goes on and counts, and says once that the file ends here."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            log.warning("%s: cannot be written (%s); further unreadable samples are counted and told here only",
                        path, error.strerror)
            self.path = None


def ledger_path(run_folder: Path, rank: int = 0) -> Path:
    """Where a rank of a run writes its ledger."""
    return run_folder / ("unreadable.jsonl" if rank == 0 else f"unreadable.rank{rank}.jsonl")


def _already_written(path: Path | None) -> set[tuple[str, str]]:
    """Entries of the run before a resume; a last line torn by a kill is cut off the file."""
    if path is None or not path.exists():
        return set()
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    entries = [json.loads(line) for line in whole.decode("utf-8").splitlines()]
    return {(entry["id"], entry["source"]) for entry in entries}
