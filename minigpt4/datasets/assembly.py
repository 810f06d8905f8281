"""From the `datasets:` section to objects: the one place where names of data sets become readers and processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.common.registry import builders
from minigpt4.datasets.config import TRAIN_SPLIT, DatasetConfig
from minigpt4.datasets.dataset import FirstSamples, IndexedDataset
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.mixture import Mixture, mixture_weights
from minigpt4.processors.images import Crop, ImageProcessor, build_image_processor
from minigpt4.records.images import ImageSpec


def build_source(
    configs: Mapping[str, DatasetConfig], *, seed: int, splits: Sequence[str] = (TRAIN_SPLIT,)
) -> Mixture | ShardStream:
    """The data that are trained on: all data sets of all these splits.

    Raises `UserError` if one cannot be read, is empty, or if a stream should be mixed with another data set.
    """
    if not configs:
        raise UserError("data.none", where="datasets", what="names no data set", fix="add one, see docs/data.md")
    parts = [(name, build_dataset(name, configs[name], split)) for split in splits for name in configs]
    if any(isinstance(dataset, ShardStream) for _, dataset in parts):
        return _only_stream([dataset for _, dataset in parts])
    weights = mixture_weights({name: configs[name].sample_ratio for name in configs})
    return Mixture([dataset for _, dataset in parts], weights * len(splits), seed)


def build_dataset(name: str, config: DatasetConfig, split: str = TRAIN_SPLIT) -> Any:
    """One data set: an `IndexedDataset`, or a `ShardStream` where its storage is remote."""
    dataset = builders.get(config.builder or name, where=f"datasets.{name}").build(config, split, name)
    if config.max_samples is None:
        return dataset
    if isinstance(dataset, ShardStream):
        raise UserError("data.stream", where=f"datasets.{name}.max_samples", what="is given for a stream",
                        fix="name fewer shards instead")
    return FirstSamples(dataset, config.max_samples)


def build_indexed(name: str, config: DatasetConfig, split: str) -> IndexedDataset:
    """A data set whose samples have numbers; evaluation needs one. Raises `UserError` for a stream."""
    dataset: IndexedDataset | ShardStream = build_dataset(name, config, split)
    if isinstance(dataset, ShardStream):
        raise UserError("data.stream", where=f"datasets.{name}", what="is a stream; evaluation reads local shards only",
                        fix=f"copy the shards of split '{split}' to the disk")
    return dataset


def build_image_processors(
    configs: Mapping[str, DatasetConfig], split: str, spec: ImageSpec | None, train_crop: Crop = "none",
) -> dict[str, ImageProcessor]:
    """The image processor of each data set at a split.

    Args:
        configs: the data sets by name.
        split: train or another one.
        spec: the model's, whose size every processor must make; None = a text-only model, which has no processors.
        train_crop: what `model.behaviour` says (see `processors.images.build_image_processor`).
    """
    if spec is None:
        return {}
    processors = {}
    for name, config in configs.items():
        processor_config = config.vis_processor.of(split, spec.size)
        where = f"datasets.{name}.vis_processor.{'train' if split == TRAIN_SPLIT else 'eval'}"
        if processor_config.image_size != spec.size:
            raise UserError("data.image_size", where=f"{where}.image_size", what=f"is {processor_config.image_size}, "
                            f"the model sees {spec.size}", fix="write the same number in both places")
        processors[name] = build_image_processor(processor_config, spec, train_crop, where=where)
    return processors


def _only_stream(datasets: Sequence[Any]) -> ShardStream:
    if len(datasets) > 1:
        names = ", ".join(dataset.name for dataset in datasets)
        raise UserError("data.stream", where="datasets", what=f"mixes a stream with other data sets ({names})",
                        fix="copy its shards to the disk: only local shards can be mixed exactly")
    return datasets[0]  # type: ignore[no-any-return]
