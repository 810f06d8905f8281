"""The steps from a folder of images to a data set of descriptions; each goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from minigpt4.curation.drafts import DraftWriter, name_of
from minigpt4.curation.endpoint import Endpoint
from minigpt4.curation.journal import Entry, Journal
from minigpt4.curation.polishing import polished
from minigpt4.curation.rules import Rules

Advance = Callable[[int], object]
UNREADABLE = "cannot be read: "
NO_ANSWER = "the endpoint gave no answer: "


@dataclass(frozen=True)
class Counts:
    """Images by what became of them."""

    images: int
    kept: int
    waiting: int
    """for the endpoint, which failed"""
    dropped: int


def write_drafts(journal: Journal, writer: DraftWriter, images: Sequence[Path], folder: Path, *, batch_size: int,
                 advance: Advance) -> None:
    """Describe every image that the journal has no draft of."""
    missing = [image for image in images if journal.get(name_of(image, folder)) is None]
    advance(len(images) - len(missing))
    for draft in writer.write(missing, batch_size):
        name = name_of(draft.image, folder)
        journal.put(Entry(name, draft.texts, dropped=f"{UNREADABLE}{draft.error}" if draft.error else ""))
        advance(1)


def polish(journal: Journal, endpoint: Endpoint, advance: Advance) -> None:
    """Ask the endpoint about every draft that it has not polished.

    Raises:
        Refused: the endpoint will answer nothing; what is polished stays.
    """
    for entry in journal:
        if entry.drafts and not entry.polished and (not entry.dropped or entry.dropped.startswith(NO_ANSWER)):
            made = polished(replace(entry, dropped=""), endpoint)
            if not made.polished and not made.dropped:
                made = replace(made, dropped=NO_ANSWER + made.attempts[-1])
            journal.put(made)
        advance(1)


def filter_texts(journal: Journal, rules: Rules) -> None:
    """Give every text that breaks a rule its reason."""
    for entry in journal:
        if not entry.dropped and (fault := rules.fault(entry.text)):
            journal.put(replace(entry, dropped=fault))


def counts_of(journal: Journal) -> Counts:
    entries = list(journal)
    kept = sum(entry.is_kept for entry in entries)
    waiting = sum(entry.dropped.startswith(NO_ANSWER) and not entry.is_kept for entry in entries)
    return Counts(len(entries), kept, waiting, len(entries) - kept - waiting)
