"""What ties a model to its stored features: which values are worth storing, whose they are, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.datasets.feature_store.identity import FeatureIdentity, stage_digest
from minigpt4.datasets.feature_store.images import DIGEST, PixelsToStore, StoredImages
from minigpt4.datasets.feature_store.shards import FeatureShards, FeatureWriter
from minigpt4.models.visual_path import VisualPath
from minigpt4.processors.images import ImageProcessor
from minigpt4.records.batches import PIXELS

STORED_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _as_read(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values in the dtype that what trains reads: float32 but under autocast, which takes any."""
    if not features or torch.is_autocast_enabled(next(iter(features.values())).device.type):
        return dict(features)
    return {name: value.float() if value.is_floating_point() else value for name, value in features.items()}


class StoreSettings(Protocol):
    """What is asked of the section `run:`."""

    @property
    def feature_store(self) -> str | None: ...

    @property
    def feature_fill(self) -> bool: ...

    @property
    def feature_dtype(self) -> str | None: ...


@dataclass(frozen=True)
class FrozenHead:
    """The stages of a visual path that never change, and what trains reads of them.

    Args:
        path: the visual path.
        values: what is stored of an image.
        stages: name of each stage that makes the values -> its digest.
    """

    path: VisualPath
    values: tuple[str, ...]
    stages: Mapping[str, str]

    @classmethod
    def of(cls, path: VisualPath) -> FrozenHead:
        """The frozen head of a path. Raises `UserError` where it has none."""
        frozen, values = path.frozen_stages(), path.frozen_values()
        trained = [name for name in path.stages if name not in frozen]
        if not frozen or set(values) & set(path.inputs):
            raise UserError("features.not_frozen", where=f"model.{trained[0]}",
                            what="trains and reads pixels, so nothing that can be stored stays the same",
                            fix=f"freeze it (model.{trained[0]}.freeze=True), or leave run.feature_store out")
        return cls(path, values, {name: stage_digest(path.stages[name]) for name in path.stages if name in frozen})

    def identity(self, processor: ImageProcessor, precision: str, dtype: str = "") -> FeatureIdentity:
        """Whose features those of a processor's images are.

        Raises `UserError` where its pixels are random, so that no image has features of its own.
        """
        if varied := processor.random_changes():
            raise UserError("features.random", where="vis_processor", what=f"makes other pixels of an image each time "
                            f"({varied}), so its features cannot be stored",
                            fix="use blip2_image_eval, or leave run.feature_store out")
        return FeatureIdentity(self.values, self.stages, processor.spec, precision, dtype)

    def features(self, pixels: Tensor) -> dict[str, Tensor]:
        """[N, 3, S, S] on the path's device -> the values to store, each [N, …]."""
        with torch.no_grad():
            made = self.path.values({PIXELS: pixels}, self.values)
        return {name: made[name] for name in self.values}


class FeatureStore:
    """The stored features of one model's images, for reading and for filling.

    Args:
        folder: the store; features of any number of models lie in it.
        head: makes what is stored.
        identity: whose features these are.
        fill: whether what is missing is stored when it is computed.
        dtype: that features are stored in; None = as computed.
    """

    def __init__(self, folder: Path, head: FrozenHead, identity: FeatureIdentity, *, fill: bool = True,
                 dtype: torch.dtype | None = None) -> None:
        self.head, self.identity, self._fill, self._dtype = head, identity, fill, dtype
        self.folder = identity.folder_in(folder)
        self.shards = FeatureShards(self.folder)
        self.writer = FeatureWriter(self.folder, identity)

    def reader(self, processor: ImageProcessor) -> StoredImages:
        """What reads a data set's images."""
        return StoredImages(self.shards, PixelsToStore(processor) if self._fill else processor)

    def features(self, images: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """A batch's images as stored values: those that come as pixels with digests are computed and stored."""
        if PIXELS in images and DIGEST not in images:
            return images
        return _as_read(images if DIGEST not in images else self._stored(images))

    def _stored(self, images: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        made = self.head.features(images[PIXELS])
        features = {name: value if self._dtype is None else value.to(self._dtype) for name, value in made.items()}
        for number, row in enumerate(images[DIGEST].cpu()):
            digest = row.numpy().tobytes()
            if digest not in self.shards:  # as the neighbour of an image that is not stored
                self.writer.add(digest, {name: value[number] for name, value in features.items()})
        return features

    def close(self) -> None:
        """Write what is still in memory."""
        self.writer.flush()

    def report(self) -> str:
        """One line: where, how many images, how large."""
        names = ", ".join(self.head.values)
        return (f"feature store {self.folder}: {len(self.shards):,} images, {self.shards.num_bytes / 1e9:.2f} GB "
                f"({names})")


def open_store(run: StoreSettings, loaded: LoadedModel, processors: Sequence[ImageProcessor], precision: str
               ) -> FeatureStore:
    """The store that a run names.

    Args:
        run: its `feature_store`, `feature_fill` and `feature_dtype`.
        loaded: the model.
        processors: of all data sets.
        precision: what the model computes in.

    Raises:
        UserError: the model is text-only, nothing of it is frozen, pixels are random, or data sets see images
            differently.
    """
    assert run.feature_store is not None, "the caller asks where there is one"
    if loaded.model.visual_path is None:
        raise UserError("features.text_only", where="run.feature_store", what="is set, and the model has no images",
                        fix="leave it out")
    head = FrozenHead.of(loaded.model.visual_path)
    dtype = STORED_DTYPES[run.feature_dtype] if run.feature_dtype else None
    identity, *others = [head.identity(each, precision, run.feature_dtype or "") for each in processors]
    if any(other != identity for other in others):
        raise UserError("features.images", where="datasets", what="make pixels of an image in different ways",
                        fix="give all data sets the same vis_processor, or leave run.feature_store out")
    return FeatureStore(Path(run.feature_store), head, identity, fill=run.feature_fill, dtype=dtype)
