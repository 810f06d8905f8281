"""A renderer, data sets and files of a few lines, so that the tests of data need no model and no tokenizer."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample, Turn, Unreadable, caption_conversation
from minigpt4.records.images import ImageRef, ImageSpec


@dataclass(frozen=True)
class FakeRenderer:
    """Ids are characters; the first id is the prompt draw; `§` in an answer means that nothing of it is learned."""

    tokens_per_image: int = 2
    pad_token_id: int = 0
    prompt_per: str = "sample"

    def render(self, conversation: Conversation, draw: int) -> Rendered:
        ids, labels, slots, images = [draw % 100_000], [IGNORED_LABEL], [-1], 0
        for turn in conversation.turns:
            for _ in range(turn.text.count(IMAGE_MARK)):
                ids += [0] * self.tokens_per_image
                labels += [IGNORED_LABEL] * self.tokens_per_image
                slots += [images * self.tokens_per_image + number for number in range(self.tokens_per_image)]
                images += 1
            letters = [ord(letter) for letter in turn.text.replace(IMAGE_MARK, "")]
            learned = turn.role == "assistant" and "§" not in turn.text
            ids += letters
            slots += [-1] * len(letters)
            labels += letters if learned else [IGNORED_LABEL] * len(letters)
        return Rendered(ids, labels, slots, (self.tokens_per_image,) * images)


class FakeProcessor:
    """One pixel: the first byte of the image and a random number."""

    spec = ImageSpec(size=1)

    def __call__(self, ref: ImageRef, generator: torch.Generator | None = None) -> Tensor:
        assert ref.data is not None
        return torch.tensor([ref.data[0], torch.rand(1, generator=generator).item(), 0.0]).reshape(3, 1, 1)


@dataclass(frozen=True)
class FakeDataset:
    """`size` captioned samples; numbers in `bad` are unreadable, those in `unlearned` have nothing to learn."""

    name: str
    size: int
    bad: frozenset[int] = frozenset()
    unlearned: frozenset[int] = frozenset()
    damaged: tuple[Unreadable, ...] = ()

    def __len__(self) -> int:
        return self.size

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        identity = f"{self.name}{number}"
        if number in self.bad:
            return Unreadable(identity, f"{self.name}.jsonl:{number}", "no caption", "data.caption")
        image = ImageRef(data=bytes([number % 256]))
        text = "§" if number in self.unlearned else "a" * (number % 5 + 1)
        return Sample(identity, self.name, caption_conversation(image, text))


@dataclass(frozen=True)
class TextDataset:
    """Samples without an image."""

    name: str
    size: int
    damaged: tuple[Unreadable, ...] = ()

    def __len__(self) -> int:
        return self.size

    def sample(self, number: int, draw: int = 0) -> Sample:
        return Sample(f"{self.name}{number}", self.name, Conversation((Turn("assistant", "b" * (number % 3 + 1)),)))


def image_bytes(size: tuple[int, int] = (8, 6), color: str = "red", kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def pair(key: str, caption: str = "a rose") -> dict[str, bytes]:
    """The members of one img2dataset sample."""
    return {f"{key}.jpg": image_bytes(kind="JPEG"), f"{key}.json": json.dumps({"caption": caption}).encode()}
