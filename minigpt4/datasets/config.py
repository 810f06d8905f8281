"""The `datasets:` section of a YAML, a `DatasetConfig` each: the original's keys and ours.

Source: docs/originals/minigpt4.md#dataset-keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from minigpt4.common.config.ranges import PositiveFloat, PositiveInt
from minigpt4.common.errors import UserError, nearest
from minigpt4.common.files import shown
from minigpt4.common.registry import image_processors, text_processors
from minigpt4.processors.captions import TextProcessor, TextProcessorConfig, build_text_processor
from minigpt4.processors.images import ImageProcessorConfig

TRAIN_SPLIT = "train"


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """Where a split other than `train` is."""

    storage: str | None = field(default=None, metadata={"path": "shards"})
    """shards or folder of this split; null = those of train"""
    annotations: str | None = field(default=None, metadata={"path": "file"})
    """JSON or JSONL file of this split; null = the builder's usual name inside the folder"""


@dataclass(frozen=True, kw_only=True)
class BuildInfo:
    """Where a data set is."""

    storage: str = field(metadata={"path": "shards"})
    """shards ({00000..00010}.tar, *.tar, https://…, s3://…, hf://…, pipe:…) or folder of the data set"""
    annotations: str | None = field(default=None, metadata={"path": "file"})
    """JSON or JSONL file; null = the builder's usual name inside the folder"""
    splits: dict[str, SplitInfo] = field(default_factory=dict)
    """other splits by name, such as val: {storage: …}; needed for run.valid_splits and run.test_splits"""
    index: str | None = None
    """folder that keeps the index of local shards; null = beside them, or the cache folder where they are read-only"""
    samples_per_shard: PositiveInt | None = None
    """samples a streamed shard should hold; fewer are reported as a cut shard; null = not known"""

    def at(self, split: str) -> BuildInfo:
        """The same for a split. Raises `UserError` if the YAML does not say where it is."""
        if split == TRAIN_SPLIT:
            return self
        if split not in self.splits:
            raise UserError(
                "data.split", where="build_info.splits", what=f"split '{split}' is not given",
                fix=f"{nearest(split, [TRAIN_SPLIT, *self.splits])} or add build_info.splits.{split}.storage",
            )
        other = self.splits[split]
        return replace(self, storage=other.storage or self.storage, annotations=other.annotations)


@dataclass(frozen=True, kw_only=True)
class ImageProcessorPair:
    """How images become pixels, in training and in evaluation."""

    train: ImageProcessorConfig | None = field(default=None, metadata={"registry": image_processors})
    """in training; null = squash to the model's image size"""
    eval: ImageProcessorConfig | None = field(default=None, metadata={"registry": image_processors})
    """in evaluation; null = squash to the image size of `train`"""

    def of(self, split: str, image_size: int) -> ImageProcessorConfig:
        """The config for a split; `image_size` is the model's, used where none is written."""
        if split == TRAIN_SPLIT:
            return self.train or ImageProcessorConfig(image_size=image_size)
        if self.eval or not self.train:
            return self.eval or ImageProcessorConfig(image_size=image_size)
        return ImageProcessorConfig(image_size=self.train.image_size, mean=self.train.mean, std=self.train.std)


@dataclass(frozen=True, kw_only=True)
class TextProcessorPair:
    """How captions are cleaned, in training and in evaluation."""

    train: TextProcessorConfig | None = field(default=None, metadata={"registry": text_processors})
    """in training; null = as they stand"""
    eval: TextProcessorConfig | None = field(default=None, metadata={"registry": text_processors})
    """in evaluation; null = as in training"""

    def of(self, split: str) -> TextProcessor:
        config = self.train if split == TRAIN_SPLIT else self.eval or self.train
        return build_text_processor(config or TextProcessorConfig())


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """One data set of a mixture."""

    builder: str | None = None
    """registered data set that reads it; null = the name of the section"""
    type: str = "default"
    """which packaged YAML the values below start from"""
    data_type: str = "images"
    """original key, always images"""
    build_info: BuildInfo
    """where it is"""
    vis_processor: ImageProcessorPair = field(default_factory=ImageProcessorPair)
    """from encoded images to pixels"""
    text_processor: TextProcessorPair = field(default_factory=TextProcessorPair)
    """from raw captions to learned words"""
    sample_ratio: PositiveFloat | None = None
    """weight in the mixture, for all data sets or for none (then each has the same)"""
    batch_size: PositiveInt | None = None
    """samples a micro-batch and rank (newest originals); run.batch_size_train says the same"""
    max_samples: PositiveInt | None = None
    """only the first so many samples"""
    licence: str | None = None
    """licence of the data set, as its makers state it; ends in the manifest of what is trained on it"""


def folder_of(info: BuildInfo) -> Path:
    """The storage as a folder. Raises `UserError` if it is not one."""
    folder = Path(info.storage)
    if not folder.is_dir():
        raise UserError("data.folder", where=info.storage, what="is not a folder",
                        fix="see docs/data.md for the layout this data set wants")
    return folder


def annotations_of(info: BuildInfo, usual_name: str) -> Path:
    """The annotation file: as given, else by its usual name inside the storage folder."""
    path = Path(info.annotations) if info.annotations else folder_of(info) / usual_name
    if not path.exists():
        raise UserError("data.annotations", where=shown(path), what="does not exist",
                        fix="give build_info.annotations or see docs/data.md for the layout")
    if path.is_dir():
        raise UserError("data.annotations", where=shown(path), what="is a folder, not a file",
                        fix="name the JSON or JSONL file in it")
    return path
