"""Scenes drawn as they are asked for: as many images as wanted, no file. Vision parts are trained on them.

In a share of the images things wear colours without a name. A vision encoder learns colours first, and from then on
"no fish is ever red" helps it to tell kinds; where colours say nothing about kinds, it has to look at shapes, and
combinations it never met are read as well as the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from PIL import Image

from minigpt4.common.config.ranges import PositiveInt, Seed, Share, Variant
from minigpt4.common.registry import builders
from minigpt4.datasets.config import BuildInfo, DatasetConfig, SplitInfo
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample, Turn, Unreadable
from minigpt4.records.images import ImageRef
from minigpt4.scenes.data.pictures import as_bmp
from minigpt4.scenes.drawing import Colour, draw, unnamed_colour
from minigpt4.scenes.labels import QUARTERS, labels_of
from minigpt4.scenes.sampling import GROUP_WEIGHTS, SPLITS, allowed_pairs, random_for, sample_scene
from minigpt4.scenes.scene import Scene
from minigpt4.scenes.words.questions import QUESTION_TYPES, ask
from minigpt4.scenes.words.wording import QuestionType

ASKED = (*QUESTION_TYPES, QuestionType.ABOUT, QuestionType.DESCRIPTION)
ASKED_WITHOUT_COLOURS = (QuestionType.COUNT, QuestionType.WHERE, QuestionType.SIZE, QuestionType.BACKGROUND,
                         QuestionType.KINDS)
"""what can be answered where colours have no name"""

RECOLOURED_GROUPS = 0.8
"""of the groups in a recoloured image"""


@dataclass(frozen=True, kw_only=True)
class DrawnScenesConfig(DatasetConfig):
    """Which scenes are drawn. The splits `seen` and `held_out` are for evaluation: no recoloured image in them."""

    build_info: BuildInfo = field(
        default_factory=lambda: BuildInfo(storage="", splits={name: SplitInfo() for name in SPLITS})
    )
    """not used: nothing is stored"""
    samples: PositiveInt = 1_000_000
    """images of a split; image i is the same however many there are"""
    seed: Seed = 0
    """of the scenes"""
    held_out_variant: Variant = 0
    """which combinations of kind and colour are held out: 0 or 1"""
    recoloured: Share = 0.0
    """share of training images in which things wear colours without a name"""
    group_weights: tuple[int, ...] = GROUP_WEIGHTS
    """how often a training image shows one, two, three, four groups"""


@dataclass(frozen=True)
class DrawnScene:
    """A scene and the colours that replace those of its groups (None = its own)."""

    scene: Scene
    fills: tuple[Colour | None, ...]

    @property
    def is_recoloured(self) -> bool:
        return any(self.fills)

    def image(self) -> Image.Image:
        return draw(self.scene, fills=self.fills)


@dataclass(frozen=True)
class DrawnScenes:
    """Scenes of a split by number; each sample is the image with one English question and its labels."""

    config: DrawnScenesConfig
    split: str
    name: str
    damaged: Sequence[Unreadable] = ()

    def __len__(self) -> int:
        return self.config.samples

    def sample(self, number: int, draw: int = 0) -> Sample:
        sample_id = f"{self.name}/{self.split}/{number}"
        drawn = self.drawn(number)
        image = ImageRef(data=as_bmp(drawn.image()), name=sample_id)
        conversation = self._conversation(drawn, image, self._random("question", number))
        return Sample(sample_id, sample_id, conversation, {QUARTERS: labels_of(drawn.scene, drawn.fills)})

    def drawn(self, number: int) -> DrawnScene:
        """The scene behind a sample."""
        random, trains = self._random("scene", number), self.split == "train"
        allowed = allowed_pairs(self.split, self.config.held_out_variant)
        weights = self.config.group_weights if trains else GROUP_WEIGHTS
        scene = sample_scene(random, allowed=allowed, group_weights=weights)
        if not trains or random.random() >= self.config.recoloured:
            return DrawnScene(scene, (None,) * len(scene.groups))
        return DrawnScene(scene, tuple(_perhaps_unnamed(random) for _ in scene.groups))

    def _conversation(self, drawn: DrawnScene, image: ImageRef, random: Random) -> Conversation:
        allowed = allowed_pairs(self.split, self.config.held_out_variant)
        kind = random.choice(ASKED_WITHOUT_COLOURS if drawn.is_recoloured else ASKED)
        words = ask(drawn.scene, kind, "en", random, allowed=allowed)
        return Conversation((Turn("user", f"{IMAGE_MARK} {words.question}"), Turn("assistant", words.answer)), (image,))

    def _random(self, purpose: str, number: int) -> Random:
        return random_for("drawn", purpose, self.config.seed, self.split, number)


@builders.register("drawn_scenes")
class DrawnScenesBuilder:
    """Builds `DrawnScenes`; needs no file."""

    Config = DrawnScenesConfig
    default_yaml: dict[str, str] = {}

    @staticmethod
    def build(config: DrawnScenesConfig, split: str, name: str = "drawn_scenes") -> DrawnScenes:
        config.build_info.at(split)
        return DrawnScenes(config, split, name)


def _perhaps_unnamed(random: Random) -> Colour | None:
    return unnamed_colour(random) if random.random() < RECOLOURED_GROUPS else None
