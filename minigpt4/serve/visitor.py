"""What the page does for one visitor: a conversation, its messages as the page shows them, mistakes as sentences.

No gradio in here, so this is tested without a browser.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.inference.chat import Chat
from minigpt4.inference.events import Done, Event, Notice, TextDelta
from minigpt4.inference.memory import SharedMemory
from minigpt4.records.conversations import Conversation
from minigpt4.records.images import ImageRef
from minigpt4.serve.checks import moves, refuse_images, refuse_knobs
from minigpt4.serve.knobs import Knobs
from minigpt4.serve.limits import Limits
from minigpt4.serve.line import Line
from minigpt4.serve.messages import Measure, Message, Question, View
from minigpt4.serve.uploads import Uploads
from minigpt4.serve.wording import Wording

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Exchange:
    """A question that was answered, and where things stood before it."""

    question: Question
    conversation: Conversation
    messages: int


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
        self._exchanges: list[_Exchange] = []
        self.chat = self._new_chat()

    @property
    def busy(self) -> bool:
        """True while an answer is given or waited for."""
        return bool(self._asking)

    @property
    def view(self) -> View:
        """What stands there now."""
        return View(tuple(self.messages))

    def settle(self, seconds: float) -> None:
        """Wait so long at most for the end of an answer whose reader has left."""
        end = time.monotonic() + seconds
        while self.busy and time.monotonic() < end:
            time.sleep(0.05)

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

    def take_back(self, words: Wording, *, keep_files: bool) -> tuple[View, Question]:
        """Take the last question and its answer out of the conversation.

        Args:
            words: of a refusal.
            keep_files: True = its images stay on the server, since the question will be asked in other words.

        Returns:
            What stands there now, and the question; an empty one where the view says why nothing was taken back.
        """
        if self.busy or not self._exchanges:
            code, what = ("page.busy_self", "your last question has not been answered yet") if self.busy else (
                "chat.nothing_to_retry", "there is no answer yet")
            fix = "wait for it or stop it" if self.busy else "ask something first"
            sentence = words.sentence(UserError(code, what=what, fix=fix))
            return replace(self.view, notice=sentence, refused=True), Question("")
        exchange = self._exchanges.pop()
        self.chat.conversation = exchange.conversation
        del self.messages[exchange.messages :]
        if not keep_files:
            self._delete([file for file in exchange.question.files if not self._still_shown(file)])
        return self.view, exchange.question

    def stop(self) -> None:
        """End the answers that are being given or waited for; what was said so far stays."""
        for event in (self.stopped, *self._asking):
            event.set()

    def clear(self) -> View:
        """Start over; images of the old conversation are deleted."""
        self.stop()
        self.begin()
        chat, files = self.chat, list(self._files)
        self.chat, self._exchanges, self.messages, self.ended = self._new_chat(), [], [], False
        chat.clear()
        self._delete(files)
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

    def _delete(self, files: Sequence[str]) -> None:
        """Files of this visitor; those of others and of the page are left alone."""
        if self.uploads is not None:
            self.uploads.delete([file for file in files if file in self._files])
        self._files = [file for file in self._files if file not in files]

    def _still_shown(self, file: str) -> bool:
        return any(message.file == file for message in self.messages)

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
        notices += [words.only_first_frame.format(name=Path(file).name) for file in files if moves(file)]
        self.ended = False
        shown = [Message("user", file=file) for file in files] + ([Message("user", text)] if text else [])
        images = [ImageRef(path=Path(file), name=Path(file).name) for file in files]  # no sentence knows a folder
        chat = self.chat
        with self._turn() as stopped:
            yield View((*self.messages, *shown), " ".join(notices))
            with self.line.place(self, stopped):
                exchange = _Exchange(Question(text, tuple(files)), chat.conversation, len(self.messages))
                events = self._with_system(chat, knobs).ask(text, images, knobs.settings(), cancelled=stopped)
                answer = _Growing(chat, [*self.messages, *shown], " ".join(notices), stopped, exchange)
                yield from self._grow(answer, events, words)

    def _retry(self, knobs: Knobs, words: Wording) -> Iterator[View]:
        self._refuse_unbearable("", [], knobs)
        chat = self.chat
        with self._turn() as stopped, self.line.place(self, stopped):
            events = self._with_system(chat, knobs).retry(knobs.settings(), cancelled=stopped)
            yield from self._grow(_Growing(chat, self.messages[:-1], "", stopped), events, words)

    def _with_system(self, chat: Chat, knobs: Knobs) -> Chat:
        system = knobs.system if knobs.system.strip() and self.loaded.renderer.chat.takes_system else None
        chat.conversation = replace(chat.conversation, system=system)
        return chat

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
        refuse_knobs(knobs, limits)
        if len(text) > (most := limits.characters(context)):
            raise UserError("page.long_question", what=f"the question has {len(text)} characters, more than {most}",
                            fix="ask a shorter one")
        if len(text) + sum(len(turn.text) for turn in chat.conversation.turns) > limits.conversation_characters:
            raise UserError("chat.too_long", what="the conversation is too long", fix="clear it and start a new one")
        seen, most = len(chat.conversation.images), limits.images(context, self.loaded.renderer.tokens_per_image)
        if files and seen + len(files) > most:
            raise UserError("page.many_images", what=f"the conversation would have {seen + len(files)} images, "
                            f"the language model has room for {most}", fix="show fewer images")
        refuse_images(files, limits)

    def _grow(self, answer: _Growing, events: Iterator[Event], words: Wording) -> Iterator[View]:
        late = _Deadline(self.limits.answer_seconds, answer.stopped)
        with late:
            try:
                while answer.chat is self.chat and (event := next(events, None)) is not None:
                    answer.take(event, words, late=late.passed)
                    if answer.chat is self.chat:
                        self._keep(answer)
                        yield View(tuple(self.messages), answer.notice)
            except GeneratorExit:  # the page was left; its browser may come back to what was said
                answer.stopped.set()
                self._finish(answer, events, words)
                raise
        if answer.chat is not self.chat:  # cleared meanwhile, and the last view is the one that stays
            yield View(tuple(self.messages))

    def _finish(self, answer: _Growing, events: Iterator[Event], words: Wording) -> None:
        """The end of an answer that nobody reads any more."""
        try:
            for event in events:
                answer.take(event, words, late=False)
        except Exception:
            log.exception("an answer whose page was left could not be ended")
            self.messages = answer.asked[: answer.exchange.messages] if answer.exchange else self.messages
            return
        if answer.chat is self.chat:
            self._keep(answer)

    def _keep(self, answer: _Growing) -> None:
        self.messages = [*answer.asked, Message("assistant", answer.text, measure=answer.measure)]
        if answer.measure is not None and answer.exchange is not None:
            self._exchanges.append(answer.exchange)
            answer.exchange = None


class _Growing:
    """An answer from its turn in the line to its end.

    Args:
        chat: that gives it.
        asked: the messages before it.
        notice: said beside it from the beginning.
        stopped: ends it.
        exchange: to be remembered at its end; None = it is an old one, answered again.
    """

    def __init__(self, chat: Chat, asked: list[Message], notice: str, stopped: threading.Event,
                 exchange: _Exchange | None = None) -> None:
        self.chat, self.asked, self.notice, self.stopped, self.exchange = chat, asked, notice, stopped, exchange
        self.text = ""
        self.measure: Measure | None = None
        self._begun = time.monotonic()

    def take(self, event: Event, words: Wording, *, late: bool) -> None:
        """Go on by one event."""
        if isinstance(event, Notice):
            self.notice = f"{self.notice} {event.text}".strip()
        elif isinstance(event, TextDelta):
            self.text += event.text
        elif isinstance(event, Done):
            self.text = event.text + (" […]" if event.reason != "stop" else "")
            self.measure = Measure(event.usage.new_tokens, time.monotonic() - self._begun)
            self.notice = " ".join(filter(None, (self.notice, _ending(event, words, late=late))))


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
