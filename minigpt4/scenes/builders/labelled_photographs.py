"""Photographs with labels, varied as they are read, and images that show nothing known among them.

The splits: `train`, `seen` (photographs as they are), `held_out` (images made of those of `seen` that show nothing
known). Vision parts are trained on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image

from minigpt4.common.config.ranges import PositiveInt, Seed, Share
from minigpt4.common.errors import UserError
from minigpt4.common.registry import builders
from minigpt4.datasets.captioned_shards import captioned_shards
from minigpt4.datasets.config import TRAIN_SPLIT, DatasetConfig
from minigpt4.datasets.formats.shards import ShardDataset
from minigpt4.metrics.class_words import class_words_in
from minigpt4.processors.decoding import open_image
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample, Turn, Unreadable
from minigpt4.records.images import ImageRef
from minigpt4.scenes.data.pictures import as_bmp
from minigpt4.scenes.labels import QUARTERS, labels_of_photograph
from minigpt4.scenes.photographs.colours import main_colour
from minigpt4.scenes.photographs.outliers import outlier
from minigpt4.scenes.photographs.photograph import SUBJECTS, UNKNOWN, Photograph
from minigpt4.scenes.photographs.varying import varied
from minigpt4.scenes.sampling import random_for

OUTLIER_SPLIT = "held_out"


@dataclass(frozen=True, kw_only=True)
class LabelledPhotographsConfig(DatasetConfig):
    """Where the photographs are, and how they are varied. A caption names the subject by exactly one word."""

    side: PositiveInt = 96
    """of the square images, in pixels"""
    outliers: Share = 0.25
    """share of the training images that show nothing known"""
    seed: Seed = 0
    """of all that is varied"""


@dataclass(frozen=True)
class LabelledPhotographs:
    """Photograph i of the shards, or an image made of it."""

    name: str
    config: LabelledPhotographsConfig
    split: str
    shards: ShardDataset
    damaged: Sequence[Unreadable] = ()

    def __len__(self) -> int:
        return len(self.shards)

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        read = self.shards.sample(number)
        if isinstance(read, Unreadable):
            return read
        random = random_for("photographs", self.config.seed, self.split, number, draw)
        image, subject = self._image(read, random)
        sample_id = f"{self.name}/{self.split}/{number}"
        ref = ImageRef(data=as_bmp(image), name=sample_id)
        turns = (Turn("user", IMAGE_MARK), Turn("assistant", subject))
        labels = labels_of_photograph(Photograph(subject, main_colour(image)))
        return Sample(sample_id, sample_id, Conversation(turns, (ref,)), {QUARTERS: labels})

    def _image(self, read: Sample, random: Random) -> tuple[Image.Image, str]:
        """The square image of a sample and its subject."""
        side, trains = self.config.side, self.split == TRAIN_SPLIT
        if self.split == OUTLIER_SPLIT or (trains and random.random() < self.config.outliers):
            return outlier(random, self._any_photograph, side), UNKNOWN
        image, subject = open_image(read.conversation.images[0]), _subject_of(read)
        return (varied(image, random, side) if trains else image.resize((side, side))), subject

    def _any_photograph(self, random: Random) -> Image.Image:
        while isinstance(read := self.shards.sample(random.randrange(len(self))), Unreadable):
            continue
        return open_image(read.conversation.images[0])


@builders.register("labelled_photographs")
class LabelledPhotographsBuilder:
    """Builds `LabelledPhotographs` from image-caption shards."""

    Config = LabelledPhotographsConfig
    default_yaml: dict[str, str] = {}

    @staticmethod
    def build(config: LabelledPhotographsConfig, split: str, name: str = "labelled_photographs"
              ) -> LabelledPhotographs:
        shards = captioned_shards(name, config, split)
        if not isinstance(shards, ShardDataset):
            raise UserError("data.stream", where=f"datasets.{name}.build_info.storage", what="is a stream",
                            fix="name shards on a local disk")
        return LabelledPhotographs(name, config, split, shards)


def _subject_of(read: Sample) -> str:
    caption = read.conversation.turns[-1].text
    found = class_words_in(caption, SUBJECTS)
    if len(found) != 1:
        raise UserError("data.subject", where=read.source, what=f"the caption {caption!r} names {len(found)} "
                        "of the known subjects", fix=f"write exactly one of {', '.join(SUBJECTS)} into each caption")
    return found.pop()
