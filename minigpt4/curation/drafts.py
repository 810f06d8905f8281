"""A model writes long descriptions: asked once, and to go on while they are short (MiniGPT-4, section 3.2).

The prompts are the paper's; a template of any kind puts its own words around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import Prompt, embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.images import ImageTokens, as_image_ref
from minigpt4.records.conversations import Conversation, Turn
from minigpt4.records.images import ImageRef

DESCRIBE = "Describe this image in detail. Give as many details as possible. Say everything you see."
CONTINUE = "Continue"
ENOUGH_TOKENS = 80
"""of a description; a shorter one is continued"""


@dataclass(frozen=True)
class Draft:
    """What was written of an image, a text a turn; `error` where it could not be read."""

    image: Path
    texts: tuple[str, ...] = ()
    error: str = ""


@dataclass
class _Conversation:
    image: Path
    ref: ImageRef
    turns: tuple[Turn, ...]
    tokens: int = 0

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(turn.text for turn in self.turns if turn.role == "assistant" and turn.text)


@dataclass(frozen=True)
class DraftWriter:
    """Writes descriptions.

    Args:
        loaded: a model, of stage 1 for example.
        settings: how texts are chosen.
        question: what is asked first.
        enough: tokens of a description; a shorter one is continued, once.
    """

    loaded: LoadedModel
    settings: DecodingSettings
    question: str = DESCRIBE
    enough: int = ENOUGH_TOKENS

    def write(self, images: Sequence[Path], batch_size: int = 8) -> Iterator[Draft]:
        """A draft of each image, in their order."""
        for first in range(0, len(images), batch_size):
            yield from self._batch(images[first : first + batch_size], batch_size)

    def _batch(self, images: Sequence[Path], batch_size: int) -> Iterator[Draft]:
        encoder, errors, asked = ImageTokens(self.loaded), dict[Path, str](), dict[Path, _Conversation]()
        for image in images:
            try:
                ref = as_image_ref(image)
                encoder.look([ref])
            except UserError as error:
                errors[image] = str(error)
                continue
            asked[image] = _Conversation(image, ref, self.loaded.renderer.chat.question(self.question, 1))
        self._answer(list(asked.values()), encoder, batch_size)
        short = [each for each in asked.values() if each.tokens < self.enough and each.texts]
        for each in short:
            each.turns = (*each.turns, Turn("user", CONTINUE))
        self._answer(short, encoder, batch_size)
        for image in images:
            yield Draft(image, error=errors[image]) if image in errors else Draft(image, asked[image].texts)

    def _answer(self, conversations: Sequence[_Conversation], encoder: ImageTokens, batch_size: int) -> None:
        """Add an answer to each conversation."""
        prompts = (self._prompt(each, encoder) for each in conversations)
        answers = Engine(self.loaded).answers(prompts, self.settings, rows=batch_size)
        for each, answer in zip(conversations, answers, strict=True):
            each.turns = (*each.turns, Turn("assistant", answer.text))
            each.tokens += len(answer.ids)

    def _prompt(self, each: _Conversation, encoder: ImageTokens) -> Prompt:
        tokens, digests = encoder.of([each.ref])
        rendered = self.loaded.renderer.render_prompt(Conversation(each.turns, (each.ref,)))
        return embed_prompt(self.loaded.model, rendered, tokens, digests)


def name_of(image: Path, folder: Path) -> str:
    """What a journal calls an image."""
    return shown(image.relative_to(folder).as_posix() if image.is_relative_to(folder) else image)
