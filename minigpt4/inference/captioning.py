"""Describing many images: batched, in order, with a caption for each that could be read and an error for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import Prompt, embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.caption_files import Caption
from minigpt4.inference.images import ImageTokens, as_image_ref
from minigpt4.records.conversations import Conversation, Turn
from minigpt4.records.images import ImageRef


class Captioner:
    """Describes images with one prompt.

    Args:
        loaded: the model.
        settings: how captions are chosen.
        prompt: the question; None = the first prompt of training (nothing at all after stage 1).
    """

    def __init__(
        self, loaded: LoadedModel, settings: DecodingSettings | None = None, prompt: str | None = None
    ) -> None:
        self.loaded = loaded
        self.settings = settings or DecodingSettings()
        self.prompt = prompt
        self.engine = Engine(loaded)
        self.images = ImageTokens(loaded)

    def describe(self, images: Sequence[Any], *, batch_size: int = 8) -> Iterator[Caption]:
        """Captions in the order of the images; an unreadable image gives a `Caption` with `error`.

        Args:
            images: paths, bytes, Pillow images, `ImageRef`s.
            batch_size: images that are encoded together, and answers in progress at a time.
        """
        errors: dict[int, UserError] = {}
        readable: list[int] = []
        """numbers of the images whose prompts were made, in order"""
        answers = self.engine.answers(self._prompts(images, batch_size, errors, readable), self.settings,
                                      rows=batch_size)
        given = 0
        for place, answer in enumerate(answers):
            for number in range(given, readable[place]):
                yield Caption(_name_of(images[number]), error=str(errors[number]))
            given = readable[place] + 1
            yield Caption(_name_of(images[given - 1]), answer.text, answer.reason)
        for number in range(given, len(images)):
            yield Caption(_name_of(images[number]), error=str(errors[number]))

    def _prompts(self, images: Sequence[Any], batch_size: int, errors: dict[int, UserError], readable: list[int]
                 ) -> Iterator[Prompt]:
        """A prompt for each image that can be read; the others get their error."""
        for decoded in self._decoded(images, batch_size):
            pixels = {number: each for number, each in decoded.items() if isinstance(each, Tensor)}
            errors.update((number, each) for number, each in decoded.items() if isinstance(each, UserError))
            refs = [as_image_ref(images[number]) for number in pixels]
            tokens, digests = self.images.of(refs, self.images.hold(list(pixels.values())))
            for place, (number, ref) in enumerate(zip(pixels, refs, strict=True)):
                assert tokens is not None, "there is an image"
                rendered = self.loaded.renderer.render_prompt(self._question(ref))
                readable.append(number)
                yield embed_prompt(self.loaded.model, rendered, tokens[place : place + 1], digests[place : place + 1])

    def _decoded(self, images: Sequence[Any], batch_size: int) -> Iterator[dict[int, Tensor | UserError]]:
        """Pixels or error of each image, a batch at a time; the next batch is decoded while this one is worked on."""
        batches = [range(first, min(first + batch_size, len(images))) for first in range(0, len(images), batch_size)]
        with ThreadPoolExecutor(1) as decoder:
            pending = [decoder.submit(self._decode, images, batch) for batch in batches[:1]]
            for following in [*batches[1:], None]:
                decoded = pending.pop().result() if pending else {}
                if following is not None:
                    pending.append(decoder.submit(self._decode, images, following))
                yield decoded

    def _decode(self, images: Sequence[Any], numbers: range) -> dict[int, Tensor | UserError]:
        decoded: dict[int, Tensor | UserError] = {}
        for number in numbers:
            try:
                decoded[number] = self.images.processor(as_image_ref(images[number]))
            except UserError as error:
                decoded[number] = error
        return decoded

    def _question(self, image: ImageRef) -> Conversation:
        text = self.loaded.renderer.chat.with_images_before(self.prompt or "", 1)
        asked = Conversation((Turn("user", text),), (image,))
        return self.loaded.renderer.with_prompt(asked) if self.prompt is None else asked


def _name_of(image: object) -> str:
    """What a line calls an image, also one that is not there."""
    return shown(image) if isinstance(image, str | Path) else as_image_ref(image).name
