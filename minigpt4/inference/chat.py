"""A conversation in progress: text and images in, events out.

Any number of images, in any turn, or none. The key-value cache is reused over turns as far as the conversation begins
alike.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import StreamDecoder
from minigpt4.generation.engine import Answer, Engine
from minigpt4.generation.prompt import Prompt, embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.generation.stops import cut_at_stop, held_back
from minigpt4.inference.events import Done, Event, Notice, TextDelta, Usage
from minigpt4.inference.images import ImageTokens, as_image_ref
from minigpt4.inference.memory import SharedMemory
from minigpt4.processors.decoding import MAX_PIXELS
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef

BARE_CAPTIONS = "plain"
"""template of stage 1"""


class Chat:
    """One conversation with a loaded model.

    Args:
        loaded: the model.
        settings: how answers are chosen, unless a question says otherwise.
        system: text instead of the template's own system text.
        memory: bounds what this and other conversations keep; None = this one keeps its own without a bound.
        max_pixels: images with more pixels are refused before decoding.
    """

    def __init__(
        self, loaded: LoadedModel, settings: DecodingSettings | None = None, *, system: str | None = None,
        memory: SharedMemory | None = None, max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.loaded = loaded
        self.settings = settings or DecodingSettings()
        self.engine = Engine(loaded)
        self.memory = memory
        self.images = ImageTokens(loaded, max_pixels)
        self.cache = self.engine.new_cache()
        self.conversation = Conversation((), (), system)
        self._seen: tuple[tuple[ImageRef, ...], list[str]] = ((), [])
        self.cancelled = threading.Event()

    def ask(self, text: str, images: Sequence[Any] = (), settings: DecodingSettings | None = None, *,
            cancelled: threading.Event | None = None) -> Iterator[Event]:
        """Say something, show images before it, and get the answer as it comes.

        Args:
            text: the question; may be empty if an image is shown.
            images: paths, bytes or Pillow images, shown before the text.
            settings: how this answer is chosen.
            cancelled: ends this answer once it is set, even before the answer has begun; None = `cancel` alone does.

        Yields:
            `Notice` where the weights cannot answer, `TextDelta` as text becomes certain (never a stop text), at last
            `Done`.

        Raises:
            UserError: no question and no image, an unreadable image, or a conversation that is too long.
        """
        settings = settings or self.settings
        asked = self._with_question(text, images, settings)
        digests = [*self._digests(), *self.images.look(asked.images[len(self.conversation.images) :])]
        if text.strip() and self.loaded.renderer.chat.name == BARE_CAPTIONS:
            yield Notice(
                "these weights were trained on bare captions (stage 1): they caption images but do not answer questions"
            )
        yield from self._answer(asked, digests, settings, cancelled)

    def answer(self, text: str, images: Sequence[Any] = (), settings: DecodingSettings | None = None) -> str:
        """Like `ask`, the whole answer at once."""
        return [event for event in self.ask(text, images, settings) if isinstance(event, Done)][-1].text

    def retry(self, settings: DecodingSettings | None = None, *, cancelled: threading.Event | None = None
              ) -> Iterator[Event]:
        """Answer the last question again; arguments as for `ask`."""
        turns = self.conversation.turns
        if not turns or turns[-1].role != "assistant":
            raise UserError("chat.nothing_to_retry", what="there is no answer yet", fix="ask something first")
        asked = replace(self.conversation, turns=turns[:-1])
        yield from self._answer(asked, self._digests(), settings or self.settings, cancelled)

    def cancel(self) -> None:
        """End the answer that is being given (from another thread)."""
        self.cancelled.set()

    def clear(self) -> None:
        """Begin a new conversation; nothing of the old one is kept."""
        self.conversation = Conversation((), (), self.conversation.system)
        self.cache.clear()
        self.images.clear()

    def _with_question(self, text: str, images: Sequence[Any], settings: DecodingSettings) -> Conversation:
        if IMAGE_MARK in text:
            raise UserError("chat.mark", what=f"a question cannot contain {IMAGE_MARK}", fix="give the image itself")
        if not text.strip() and not images:
            raise UserError("chat.empty", what="nothing was asked", fix="write a question or show an image")
        old = self.conversation
        self.engine.refuse_too_many_images(len(old.images) + len(images), settings)
        new = [as_image_ref(image) for image in images]
        turns = self.loaded.renderer.chat.question(text, len(new))
        return replace(old, turns=(*old.turns, *turns), images=(*old.images, *new))

    def _digests(self) -> list[str]:
        """Of the conversation's images: those that were seen are not decoded again."""
        images, digests = self._seen
        return digests if images is self.conversation.images else self.images.look(self.conversation.images)

    def _answer(self, asked: Conversation, digests: list[str], settings: DecodingSettings,
                cancelled: threading.Event | None) -> Iterator[Event]:
        self.cancelled = cancelled or threading.Event()
        if self.cancelled.is_set():
            self._keep(asked, digests, "")
            yield Done("cancelled", "", Usage(0, 0, 0))
            return
        tokens, digests = self.images.of(asked.images, digests)
        rendered = self.loaded.renderer.render_prompt(asked)
        prompt = embed_prompt(self.loaded.model, rendered, tokens, digests)
        stream = _Stream(self, prompt, settings)
        yield from stream
        answer = stream.answer
        self._keep(asked, digests, answer.text)
        yield Done(answer.reason, answer.text, Usage(answer.prompt_length, answer.reused, len(answer.ids)))

    def _keep(self, asked: Conversation, digests: list[str], answer: str) -> None:
        self.conversation = replace(asked, turns=(*asked.turns, Turn("assistant", answer)))
        self._seen = asked.images, digests
        if self.memory is not None:
            self.memory.used(self.images)
            self.memory.used(self.cache)


class _Stream:
    """Runs the token loop in a thread and turns its ids into text that can be shown."""

    def __init__(self, chat: Chat, prompt: Prompt, settings: DecodingSettings) -> None:
        self.chat = chat
        self.prompt = prompt
        self.settings = settings
        self.stops = chat.loaded.renderer.stops
        self.decoder = StreamDecoder(chat.loaded.tokenizer)
        self.decoded = ""
        self.shown = ""
        self._running: Future[Answer] | None = None

    @property
    def answer(self) -> Answer:
        """The whole answer; raises what the token loop raised."""
        assert self._running is not None, "the stream is read to its end first"
        return self._running.result()

    def __iter__(self) -> Iterator[TextDelta]:
        tokens: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        with ThreadPoolExecutor(max_workers=1) as pool:
            self._running = pool.submit(
                self.chat.engine.answer, self.prompt, self.settings, cache=self.chat.cache,
                on_token=tokens.put if self.settings.num_beams == 1 else None, cancelled=self.chat.cancelled,
            )
            self._running.add_done_callback(lambda _: tokens.put(None))
            try:
                while (number := tokens.get()) is not None:
                    self.decoded += self.decoder.push(number)
                    yield from self._show(self._certain())
            finally:
                self.chat.cancelled.set()  # the reader is gone: the loop need not continue
        yield from self._show(self.answer.text)

    def _certain(self) -> str:
        """The text that no further token can take back: no stop, no beginning of one, no blank at the end."""
        text = cut_at_stop(self.decoded, self.stops)
        if text == self.decoded:
            text = text[: len(text) - held_back(text, self.stops)]
        return text.strip()

    def _show(self, text: str) -> Iterator[TextDelta]:
        if len(text) > len(self.shown):
            new = text[len(self.shown) :]
            self.shown = text
            yield TextDelta(new)
