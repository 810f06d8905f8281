"""Fills a feature store before training: every image of the training splits once, over any number of processes.

Continues where it was stopped: what is stored is not computed again, and what is not written yet is at most one shard.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from minigpt4.assembly.build import build
from minigpt4.common.config import Config
from minigpt4.common.devices import choose_device
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.datasets.assembly import build_image_processors, build_indexed
from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.datasets.feature_store.images import DIGEST, digest_of, in_memory
from minigpt4.datasets.feature_store.shards import FeatureShards
from minigpt4.processors.decoding import ImageError
from minigpt4.processors.images import ImageProcessor
from minigpt4.records.batches import PIXELS
from minigpt4.records.conversations import Unreadable
from minigpt4.runners.interrupt import StopRequest
from minigpt4.runners.logs import clock
from minigpt4.runners.precision import choose_precision
from minigpt4.tasks.stored_features import FeatureStore, open_store

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
"""between lines of progress"""


@dataclass
class Filled:
    """What filling a store came to."""

    images: int = 0
    """of the samples, the same image as often as it comes"""
    computed: int = 0
    unreadable: int = 0
    """samples or images that cannot be read; training tells which"""
    stopped: bool = False


@dataclass(frozen=True)
class _Unstored(Dataset["list[tuple[bytes, torch.Tensor | None]] | None"]):
    """Place in `numbers` -> digest and pixels of each image of that sample; no pixels where they are stored."""

    dataset: IndexedDataset
    numbers: range
    shards: FeatureShards
    processor: ImageProcessor

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> list[tuple[bytes, torch.Tensor | None]] | None:
        sample = self.dataset.sample(self.numbers[place])
        if isinstance(sample, Unreadable):
            return None
        found: list[tuple[bytes, torch.Tensor | None]] = []
        try:
            for ref in sample.conversation.images:
                held = in_memory(ref)
                digest = digest_of(held)
                found.append((digest, None if digest in self.shards else self.processor(held)))
        except ImageError:
            return None
        return found


def fill_store(config: Config, place: Place) -> Filled:
    """Compute and store the features of every image that the training splits of a config show.

    Args:
        config: names the store in `run.feature_store`.
        place: which process this is; each takes every so manieth sample.

    Raises:
        UserError: no store is named, nothing can be stored for this model or these images, a data set is a stream,
            or the disk is full.
    """
    run = config.run
    if run.feature_store is None:
        raise UserError("config.missing", where="run.feature_store", what="is not set",
                        fix="name a folder: --options run.feature_store=output/features")
    device = choose_device(run.device, place)
    datasets = [(name, split, build_indexed(name, config.datasets[name], split))
                for split in run.train_splits for name in config.datasets]
    loaded = build(config, device=str(device))
    loaded.model.eval()
    processors = {split: build_image_processors(config.datasets, split, loaded.image_spec,
                                                loaded.behaviour.train_crop) for split in run.train_splits}
    precision = choose_precision(run, device)
    store = open_store(run, loaded, [each for split in processors.values() for each in split.values()],
                       precision.name)
    log.info("%s", store.report())
    filled = Filled()
    with StopRequest() as stop, precision.autocast():
        for name, split, dataset in datasets:
            numbers = range(place.rank, len(dataset), place.world_size)
            unstored = _Unstored(dataset, numbers, store.shards, processors[split][name])
            _fill(store, unstored, filled, stop, config)
            if stop.requested:
                filled.stopped = True
                break
    store.close()
    return filled


def _fill(store: FeatureStore, unstored: _Unstored, filled: Filled, stop: StopRequest, config: Config) -> None:
    run = config.run
    loader = DataLoader(unstored, batch_size=None, num_workers=run.num_workers)
    size = run.batch_size_train or run.batch_size_eval or 32
    waiting: dict[bytes, torch.Tensor] = {}
    progress = _Progress(unstored.dataset.name, len(unstored))
    for images in loader:
        for digest, pixels in images or []:
            filled.images += 1
            if pixels is not None and digest not in store.writer:
                waiting[digest] = pixels
        filled.unreadable += images is None
        if len(waiting) >= size:
            filled.computed += _compute(store, waiting)
            waiting = {}
        progress.step(filled)
        if stop.requested:
            break
    filled.computed += _compute(store, waiting)
    progress.end(filled)


def _compute(store: FeatureStore, waiting: dict[bytes, torch.Tensor]) -> int:
    """Store the features of these images and return their number."""
    if waiting:
        digests = torch.stack([torch.frombuffer(bytearray(digest), dtype=torch.uint8) for digest in waiting])
        device = next(store.head.path.parameters()).device
        store.features({PIXELS: torch.stack(list(waiting.values())).to(device), DIGEST: digests})
    return len(waiting)


class _Progress:
    """A line every few seconds, and one at the end."""

    def __init__(self, name: str, samples: int) -> None:
        self._name, self._samples, self._done = name, samples, 0
        self._begin = self._said = time.monotonic()

    def step(self, filled: Filled) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            left = (now - self._begin) / self._done * (self._samples - self._done)
            self._say(filled, f", {clock(left)} left")

    def end(self, filled: Filled) -> None:
        self._say(filled, "")

    def _say(self, filled: Filled, left: str) -> None:
        log.info("%s: %s of %s samples, %s images computed%s", self._name, f"{self._done:,}", f"{self._samples:,}",
                 f"{filled.computed:,}", left)


def filled_lines(filled: Filled) -> Iterator[str]:
    """What was done, for people."""
    stored = filled.images - filled.computed
    yield f"{filled.computed:,} images computed and stored, {stored:,} were there or came again"
    if filled.unreadable:
        yield f"{filled.unreadable:,} samples cannot be read; minigpt4 train names them in its ledger"
    if filled.stopped:
        yield "stopped; the same command continues"


