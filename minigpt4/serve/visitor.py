"""What the page does for one visitor: a conversation, its messages as the page shows them, mistakes as sentences.

No gradio in here: messages are plain dictionaries in the form that chat components of today read
(`{"role": …, "content": text or {"path": file}}`), so this package is tested without a browser.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.inference.events import Done, Event, Notice, TextDelta
from minigpt4.serve.wording import Wording

Message = dict[str, Any]
MAX_FILE_MB = 100
"""larger uploads are refused before they are opened"""


@dataclass(frozen=True)
class Knobs:
    """The settings panel; a temperature of 0 means greedy."""

    temperature: float = 0.0
    num_beams: int = 1
    max_new_tokens: int = 300

    def settings(self) -> DecodingSettings:
        sampling = self.temperature > 0 and self.num_beams == 1
        return DecodingSettings(
            max_new_tokens=int(self.max_new_tokens), num_beams=int(self.num_beams), do_sample=sampling,
            temperature=self.temperature if sampling else 1.0,
        )


@dataclass(frozen=True)
class View:
    """What the visitor sees: all messages, and a sentence to show beside them (empty = none)."""

    messages: tuple[Message, ...]
    notice: str = ""
    refused: bool = False
    """the question was not taken; the notice says why"""


class Visitor:
    """One conversation of one open page.

    Args:
        loaded: the model, shared by all visitors.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.chat = Chat(loaded)
        self.messages: list[Message] = []
        self.stopped = threading.Event()

    def begin(self) -> None:
        """A question was sent; it may wait for those of others. From now on `stop` means its answer."""
        self.stopped = threading.Event()

    def ask(self, text: str, files: Sequence[str], knobs: Knobs, words: Wording) -> Iterator[View]:
        """A question with images; the answer grows from view to view. A mistake becomes a sentence, nothing changes."""
        before = list(self.messages)
        try:
            for file in files:
                _refuse_large(Path(file))
            shown: list[Message] = [{"role": "user", "content": {"path": file}} for file in files]
            shown += [{"role": "user", "content": text.strip()}] if text.strip() else []
            notice = " ".join(words.only_first_frame.format(name=Path(file).name) for file in files if _moves(file))
            events = self.chat.ask(text.strip(), list(files), knobs.settings(), cancelled=self.stopped)
            yield from self._grow([*before, *shown], events, words, notice)
        except UserError as error:
            self.messages = before
            yield View(tuple(before), words.sentence(error), refused=True)

    def retry(self, knobs: Knobs, words: Wording) -> Iterator[View]:
        """The last question once more."""
        before = list(self.messages)
        try:
            events = self.chat.retry(knobs.settings(), cancelled=self.stopped)
            yield from self._grow(before[:-1], events, words, "")
        except UserError as error:
            self.messages = before
            yield View(tuple(before), words.sentence(error), refused=True)

    def stop(self) -> None:
        """End the answer that is being given or waited for; what was said so far stays."""
        self.stopped.set()

    def clear(self) -> View:
        """Start over."""
        self.stop()
        self.begin()
        self.chat = Chat(self.chat.loaded)
        self.messages = []
        return View(())

    def _grow(self, asked: Sequence[Message], events: Iterable[Event], words: Wording, notice: str) -> Iterator[View]:
        chat, answer = self.chat, ""
        yield View(tuple(asked), notice)
        for event in events:
            if chat is not self.chat:
                return  # cleared meanwhile
            if isinstance(event, Notice):
                notice = f"{notice} {event.text}".strip()
            elif isinstance(event, TextDelta):
                answer += event.text
            elif isinstance(event, Done):
                answer = event.text + (" […]" if event.reason != "stop" else "")
                notice = " ".join(filter(None, (notice, _ending(event, words))))
            self.messages = [*asked, {"role": "assistant", "content": answer}]
            yield View(tuple(self.messages), notice)


def _ending(done: Done, words: Wording) -> str:
    return {"length": words.cut_off, "cancelled": words.stopped, "stop": ""}[done.reason]


def _refuse_large(file: Path) -> None:
    megabytes = file.stat().st_size / 1e6
    if megabytes > MAX_FILE_MB:
        raise UserError("page.large_file", where=file.name, what=f"has {megabytes:.0f} MB, more than {MAX_FILE_MB}",
                        fix="make the image smaller first")


def _moves(file: str) -> bool:
    """True for an animated image; what cannot be opened is reported by the conversation."""
    try:
        with Image.open(file) as image:
            return bool(getattr(image, "is_animated", False))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
