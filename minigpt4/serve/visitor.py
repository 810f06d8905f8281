"""What the page does for one visitor: a conversation, its messages as the page shows them, mistakes as sentences.

No gradio in here: messages are plain dictionaries in the form that chat components of today read
(`{"role": …, "content": text or {"path": file}}`), so this package is tested without a browser.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.inference.events import Done, Event, Notice, TextDelta
from minigpt4.inference.memory import SharedMemory
from minigpt4.processors.decoding import ImageError, is_animated
from minigpt4.processors.file_formats import open_formats
from minigpt4.records.images import ImageRef
from minigpt4.serve.limits import Limits
from minigpt4.serve.line import Line
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.wording import Wording

Message = dict[str, Any]

log = logging.getLogger(__name__)


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
        limits: what may be asked.
        line: where all visitors wait; None = a line of one's own.
        memory: bounds what all visitors keep; None = without a bound.
        uploads: whose files this visitor may own; None = files are not the page's to delete.
    """

    def __init__(self, loaded: LoadedModel, *, limits: Limits | None = None, line: Line | None = None,
                 memory: SharedMemory | None = None, uploads: Uploads | None = None) -> None:
        self.loaded = loaded
        self.limits = limits or Limits()
        own = Line(self.limits.waiting, self.limits.waiting_each, self.limits.answer_seconds)
        self.line = own if line is None else line
        self.memory = memory
        self.uploads = uploads
        self.ended = False
        """the page ended this conversation; the next question begins another one"""
        self.messages: list[Message] = []
        self.stopped = threading.Event()
        self._asking: list[threading.Event] = []
        self._files: list[str] = []
        self.chat = self._new_chat()

    def begin(self) -> None:
        """A question was sent; it may wait for those of others. From now on `stop` means its answer."""
        self.stopped = threading.Event()

    def ask(self, text: str, files: Sequence[str], knobs: Knobs, words: Wording) -> Iterator[View]:
        """A question with images; the answer grows from view to view. A mistake becomes a sentence, nothing changes."""
        text = text.encode("utf-8", "replace").decode("utf-8").strip()  # half a surrogate pair is no character
        self._claim(files)
        yield from self._sentences(self._ask(text, files, knobs, words), words)

    def retry(self, knobs: Knobs, words: Wording) -> Iterator[View]:
        """The last question once more."""
        yield from self._sentences(self._retry(knobs, words), words)

    def stop(self) -> None:
        """End the answers that are being given or waited for; what was said so far stays."""
        for event in (self.stopped, *self._asking):
            event.set()

    def clear(self) -> View:
        """Start over; images of the old conversation are deleted."""
        self.stop()
        self.begin()
        chat, files = self.chat, self._files
        self.chat, self._files, self.messages, self.ended = self._new_chat(), [], [], False
        chat.clear()
        if self.uploads is not None:
            self.uploads.delete(files)
        return View(())

    def end(self) -> None:
        """The visitor left or fell asleep: nothing is kept."""
        self.clear()
        self.line.leave(self)
        self.ended = True

    def _new_chat(self) -> Chat:
        return Chat(self.loaded, memory=self.memory, max_pixels=self.limits.pixels)

    def _claim(self, files: Sequence[str]) -> None:
        if self.uploads is not None:
            self._files += [file for file in files if self.uploads.claim(file)]

    def _sentences(self, views: Iterator[View], words: Wording) -> Iterator[View]:
        """The views; whatever goes wrong is a sentence, and the conversation is as it was before."""
        before, chat = list(self.messages), self.chat
        try:
            yield from views
        except UserError as error:
            yield self._as_before(before, chat, words.sentence(error))
        except Exception:
            log.exception("a question on the page could not be answered")
            yield self._as_before(before, chat, words.failed)

    def _as_before(self, before: list[Message], chat: Chat, sentence: str) -> View:
        if chat is self.chat:
            self.messages = before
        return View(tuple(self.messages), sentence, refused=True)

    def _ask(self, text: str, files: Sequence[str], knobs: Knobs, words: Wording) -> Iterator[View]:
        self._refuse_unbearable(text, files, knobs)
        notices = [words.idle] if self.ended else []
        notices += [words.only_first_frame.format(name=Path(file).name) for file in files if _moves(file)]
        self.ended = False
        shown: list[Message] = [{"role": "user", "content": {"path": file}} for file in files]
        shown += [{"role": "user", "content": text}] if text else []
        images = [ImageRef(path=Path(file), name=Path(file).name) for file in files]  # no sentence knows a folder
        chat = self.chat
        with self._turn() as stopped:
            yield View((*self.messages, *shown), " ".join(notices))
            with self.line.place(self, stopped):
                events = chat.ask(text, images, knobs.settings(), cancelled=stopped)
                yield from self._grow(chat, [*self.messages, *shown], events, words, " ".join(notices), stopped)

    def _retry(self, knobs: Knobs, words: Wording) -> Iterator[View]:
        self._refuse_unbearable("", [], knobs)
        chat = self.chat
        with self._turn() as stopped, self.line.place(self, stopped):
            events = chat.retry(knobs.settings(), cancelled=stopped)
            yield from self._grow(chat, self.messages[:-1], events, words, "", stopped)

    @contextmanager
    def _turn(self) -> Iterator[threading.Event]:
        stopped = self.stopped
        self._asking.append(stopped)
        try:
            yield stopped
        finally:
            self._asking.remove(stopped)
            if self.stopped is stopped:
                self.begin()  # an event of this answer ends no other one

    def _refuse_unbearable(self, text: str, files: Sequence[str], knobs: Knobs) -> None:
        """What can be told by counting, before anything is opened or encoded."""
        limits, chat, context = self.limits, self.chat, self.chat.engine.context
        if not limits.bearable(knobs.temperature, knobs.num_beams, knobs.max_new_tokens):
            raise UserError("page.knobs", what="these settings are outside what the panel offers",
                            fix=f"temperature up to {limits.temperature:g}, beams up to {limits.beams}, "
                            f"{limits.new_tokens} tokens at most")
        if len(text) > (most := limits.characters(context)):
            raise UserError("page.long_question", what=f"the question has {len(text)} characters, more than {most}",
                            fix="ask a shorter one")
        if len(text) + sum(len(turn.text) for turn in chat.conversation.turns) > limits.conversation_characters:
            raise UserError("chat.too_long", what="the conversation is too long", fix="clear it and start a new one")
        seen, most = len(chat.conversation.images), limits.images(context, self.loaded.renderer.tokens_per_image)
        if files and seen + len(files) > most:
            raise UserError("page.many_images", what=f"the conversation would have {seen + len(files)} images, "
                            f"the language model has room for {most}", fix="show fewer images")
        pixels = 0
        for file in files:
            _refuse_large(Path(file), limits)
            pixels += _pixels(Path(file), limits)
        if pixels > limits.question_pixels:
            raise UserError("image.large", what=f"the images of this question have {pixels} pixels together, "
                            f"more than {limits.question_pixels}", fix="show fewer at once, or make them smaller")

    def _grow(self, chat: Chat, asked: Sequence[Message], events: Iterator[Event], words: Wording, notice: str,
              stopped: threading.Event) -> Iterator[View]:
        answer, late = "", _Deadline(self.limits.answer_seconds, stopped)
        with late:
            while chat is self.chat and (event := next(events, None)) is not None:
                if isinstance(event, Notice):
                    notice = f"{notice} {event.text}".strip()
                elif isinstance(event, TextDelta):
                    answer += event.text
                elif isinstance(event, Done):
                    answer = event.text + (" […]" if event.reason != "stop" else "")
                    notice = " ".join(filter(None, (notice, _ending(event, words, late=late.passed))))
                if chat is self.chat:
                    self.messages = [*asked, {"role": "assistant", "content": answer}]
                    yield View(tuple(self.messages), notice)
        if chat is not self.chat:  # cleared meanwhile, and the last view is the one that stays
            yield View(tuple(self.messages))


class _Deadline:
    """Sets an event when the time is over; `passed` says that it was the time and nobody else."""

    def __init__(self, seconds: float, stopped: threading.Event) -> None:
        self.passed = False
        self._stopped = stopped
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _pass(self) -> None:
        if not self._stopped.is_set():
            self.passed = True
            self._stopped.set()


def _ending(done: Done, words: Wording, *, late: bool) -> str:
    cancelled = words.out_of_time if late else words.stopped
    return {"length": words.cut_off, "cancelled": cancelled, "stop": ""}[done.reason]


def _refuse_large(file: Path, limits: Limits) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise UserError("image.missing", where=file.name, what="is not on the server any more",
                        fix="upload it again") from error
    if size > limits.file_bytes:
        most = limits.file_bytes // 1_000_000
        raise UserError("page.large_file", where=file.name, what=f"has {size / 1e6:.0f} MB, more than {most}",
                        fix="make the image smaller first")


def _pixels(file: Path, limits: Limits) -> int:
    """Pixels of an image by its header; 0 for what is no image, which the decoder will tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=open_formats()) as image:
                pixels = image.width * image.height
    except Image.DecompressionBombError as error:
        raise UserError("image.large", where=file.name, what=f"has more than {limits.pixels} pixels",
                        fix="make it smaller first") from error
    except MemoryError:
        raise
    except Exception:  # whatever Pillow's readers meet in a broken header
        return 0
    if pixels > limits.pixels:
        raise UserError("image.large", where=file.name, what=f"image has {pixels} pixels, more than {limits.pixels}",
                        fix="make it smaller first")
    return pixels


def _moves(file: str) -> bool:
    """True for an animated image; what cannot be opened is reported by the conversation."""
    try:
        return is_animated(ImageRef(path=Path(file), name=Path(file).name))
    except ImageError:
        return False
