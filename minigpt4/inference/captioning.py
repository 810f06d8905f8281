"""Describing many images: batched, in order, with a caption for each that could be read and an error for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import embed_prompt
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
        """Captions in the order of the images; an unreadable image gives a `Caption` with `error`."""
        for first in range(0, len(images), batch_size):
            yield from self._batch(images[first : first + batch_size])

    def _batch(self, images: Sequence[Any]) -> Iterator[Caption]:
        errors: dict[int, str] = {}
        prompts = []
        for number, given in enumerate(images):
            try:
                image = as_image_ref(given)
                tokens, digests = self.images.of([image])
            except UserError as error:
                errors[number] = str(error)
                continue
            rendered = self.loaded.renderer.render_prompt(self._question(image))
            prompts.append(embed_prompt(self.loaded.model, rendered, tokens, digests))
        answers = iter(self.engine.answer_batch(prompts, self.settings) if prompts else [])
        for number, given in enumerate(images):
            if number in errors:
                yield Caption(_name_of(given), error=errors[number])
            else:
                answer = next(answers)
                yield Caption(_name_of(given), answer.text, answer.reason)

    def _question(self, image: ImageRef) -> Conversation:
        text = self.loaded.renderer.chat.with_images_before(self.prompt or "", 1)
        asked = Conversation((Turn("user", text),), (image,))
        return self.loaded.renderer.with_prompt(asked) if self.prompt is None else asked


def _name_of(image: object) -> str:
    """What a line calls an image, also one that is not there."""
    return shown(image) if isinstance(image, str | Path) else as_image_ref(image).name
