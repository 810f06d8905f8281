"""Describing many images: batched, in order, resumable, with a line for each that could not be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.images import ImageTokens, as_image_ref
from minigpt4.records.conversations import Conversation, Turn
from minigpt4.records.images import ImageRef

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Caption:
    """One line of the result: the image, what was said, why it ended; `error` where it could not be read."""

    image: str
    caption: str = ""
    reason: str = ""
    error: str = ""


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
        references = [as_image_ref(image) for image in images]
        for first in range(0, len(references), batch_size):
            yield from self._batch(references[first : first + batch_size])

    def _batch(self, images: list[ImageRef]) -> Iterator[Caption]:
        errors: dict[int, str] = {}
        prompts = []
        for number, image in enumerate(images):
            try:
                tokens, digests = self.images.of([image])
            except UserError as error:
                errors[number] = str(error)
                continue
            rendered = self.loaded.renderer.render_prompt(self._question(image))
            prompts.append(embed_prompt(self.loaded.model, rendered, tokens, digests))
        answers = iter(self.engine.answer_batch(prompts, self.settings) if prompts else [])
        for number, image in enumerate(images):
            if number in errors:
                yield Caption(image.name, error=errors[number])
            else:
                answer = next(answers)
                yield Caption(image.name, answer.text, answer.reason)

    def _question(self, image: ImageRef) -> Conversation:
        text = self.loaded.renderer.chat.with_images_before(self.prompt or "", 1)
        asked = Conversation((Turn("user", text),), (image,))
        return self.loaded.renderer.with_prompt(asked) if self.prompt is None else asked


def images_of(folder: str | Path) -> list[Path]:
    """The images of a folder and its subfolders, by name.

    Raises:
        UserError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("image.folder", where=str(folder), what="is not a folder", fix="give a folder of images")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS)
    if not found:
        raise UserError("image.none", where=str(folder), what="contains no images",
                        fix=f"known: {' '.join(IMAGE_ENDINGS)}")
    return found


def write_captions(captions: Iterable[Caption], output: Path) -> Iterator[Caption]:
    """Append each caption to a JSONL file as it comes, and hand it on (for a progress bar)."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "a", encoding="utf-8") as file:
        for caption in captions:
            entry = {key: value for key, value in asdict(caption).items() if value or key == "image"}
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
            yield caption


def already_described(output: Path) -> set[str]:
    """Images that an interrupted run has written; a half line at the end is taken off."""
    if not output.exists():
        return set()
    lines = output.read_bytes().split(b"\n")
    if lines[-1]:
        output.write_bytes(b"\n".join([*lines[:-1], b""]))
    return {json.loads(line)["image"] for line in lines[:-1] if line}
