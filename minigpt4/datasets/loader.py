"""Loaders: endless micro-batches for training with one integer of state, and one pass in order for evaluation.

Rank r of W takes positions step*W*B + r*B … + B-1 of the mixture, B = micro-batch (`share.py`). torch's DataLoader
spreads whole micro-batches over worker processes, so neither their number nor their speed changes order, prompts or
random crops.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from minigpt4.common.errors import UserError
from minigpt4.datasets.balanced_rows import BalancedRows
from minigpt4.datasets.batches import BatchMaker, Drawn, ImageReader, SampleRenderer
from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.ledger import Ledger
from minigpt4.datasets.mixture import Mixture
from minigpt4.datasets.share import Share
from minigpt4.records.batches import Batch
from minigpt4.records.conversations import Unreadable

BatchOrError = Batch | UserError
PREFETCH = 2
"""micro-batches that each worker process makes ahead"""


@dataclass(frozen=True)
class _MixtureBatches(Dataset[BatchOrError]):
    """Number -> micro-batch of this rank."""

    mixture: Mixture
    maker: BatchMaker
    share: Share
    balanced: BalancedRows | None = None

    def __getitem__(self, number: int) -> BatchOrError:
        places = self.share.positions(number)
        positions = places if self.balanced is None else map(self.balanced.position, places)
        drawn = (Drawn(position, *self.mixture.sample(position)) for position in positions)
        return _batch_or_error(self.maker, self.share.step_of(number), drawn)


@dataclass(frozen=True)
class SampleLengths:
    """Position -> tokens of the sample there."""

    mixture: Mixture
    maker: BatchMaker

    def __call__(self, position: int) -> int:
        return self.maker.length(position, Drawn(position, *self.mixture.sample(position)))


class _NumbersFrom(Sampler[int]):
    """first, first + 1, … without end."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first)


@dataclass(frozen=True)
class _StreamBatches(IterableDataset[BatchOrError]):
    """Micro-batches of a stream from a step on."""

    stream: ShardStream
    maker: BatchMaker
    share: Share
    first_step: int

    def __iter__(self) -> Iterator[BatchOrError]:
        share = self.share
        samples = self.stream.endless(
            seed=self.maker.seed, rank=share.rank, world_size=share.world_size, skip=self.first_step * share.batch_size
        )
        for step in itertools.count(self.first_step):
            taken = itertools.islice(samples, share.batch_size)
            drawn = zip(share.positions(step), taken, strict=False)
            named = (Drawn(position, self.stream.name, sample) for position, sample in drawn)
            yield _batch_or_error(self.maker, step, named)


class TrainingLoader:
    """Endless micro-batches of this rank. `position`, the number of steps handed out whole, is the whole state.

    Args:
        source: a mixture of indexed data sets, or one stream.
        renderer: conversation -> ids, labels, slots.
        image_processors: by name of the data set.
        batch_size: samples of a micro-batch and rank.
        balanced: samples come in an order in which micro-batches have about as many tokens each (not for streams).
        rank, world_size: this process and how many there are.
        begun_on: ranks that the run was begun on, whose steps these are; None = those of now.
        seed: of prompts and random crops (the mixture has its own).
        num_workers: processes that read and decode; 0 = this one. Streams use one at most.
        pinned: batches lie in memory that a GPU reads by itself.
        prefetch: micro-batches that each of these processes makes ahead.
        position: steps already done.
        ledger: counts and writes down what is unreadable; raises when it is too much.
        max_positions: of the language model; longer samples are unreadable. None = no end.

    Raises:
        UserError: a data set is smaller than one batch over all ranks, or a stream was begun on other ranks.
    """

    def __init__(
        self, source: Mixture | ShardStream, renderer: SampleRenderer, image_processors: Mapping[str, ImageReader],
        *, batch_size: int, balanced: bool = False, rank: int = 0, world_size: int = 1,
        begun_on: int | None = None, seed: int = 42, num_workers: int = 0, position: int = 0,
        ledger: Ledger | None = None, max_positions: int | None = None, prefetch: int = PREFETCH,
        pinned: bool = False,
    ) -> None:
        self.source = source
        self.position = position
        self.num_workers = num_workers
        self.prefetch, self.pinned = prefetch, pinned
        self.share = Share(batch_size, rank, world_size, begun_on)
        self.maker = BatchMaker(renderer, image_processors, seed, max_positions)
        self.ledger = ledger or Ledger()
        self.balanced: BalancedRows | None = None
        if isinstance(source, Mixture):
            source.require(self.share.samples_per_step)
            if balanced:
                self.balanced = BalancedRows(SampleLengths(source, self.maker), batch_size, source.num_samples, seed)
        elif begun_on not in (None, world_size):
            raise UserError("data.stream_ranks", where=source.name, what=f"is a stream and was begun on {begun_on} "
                            f"ranks; on {world_size} its order would be another", fix=f"resume on {begun_on} ranks")

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps that see about every sample once; None for a stream, which does not know its length."""
        if not isinstance(self.source, Mixture):
            return None
        return max(1, self.source.num_samples // self.share.samples_per_step)

    def __iter__(self) -> Iterator[Batch]:
        self.ledger.note_damaged(self._damaged())
        first = self.position
        for number, batch in enumerate(map(_raise_if_error, self._batches()), start=1):
            self.position = first + self.share.step_of(number)
            self.ledger.note(len(batch.sample_ids) + len(batch.unsupervised), batch.unreadable)
            yield batch

    def _batches(self) -> Iterable[BatchOrError]:
        if isinstance(self.source, ShardStream):
            streamed = _StreamBatches(self.source, self.maker, self.share, self.position)
            return _data_loader(streamed, None, min(1, self.num_workers), self.prefetch, self.pinned)
        mixed = _MixtureBatches(self.source, self.maker, self.share, self.balanced)
        numbers = _NumbersFrom(self.position * self.share.batches_per_step)
        return _data_loader(mixed, numbers, self.num_workers, self.prefetch, self.pinned)

    def _damaged(self) -> list[Unreadable]:
        datasets = self.source.datasets if isinstance(self.source, Mixture) else (self.source,)
        return [entry for dataset in datasets for entry in dataset.damaged]


@dataclass(frozen=True)
class _OrderedBatches(Dataset[BatchOrError]):
    """Batch number -> the next samples of this rank, in order."""

    dataset: IndexedDataset
    maker: BatchMaker
    numbers: range
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.numbers) // self.batch_size)

    def __getitem__(self, step: int) -> BatchOrError:
        numbers = self.numbers[step * self.batch_size : (step + 1) * self.batch_size]
        drawn = (Drawn(number, self.dataset.name, self.dataset.sample(number)) for number in numbers)
        return _batch_or_error(self.maker, step, drawn)


class EvaluationLoader:
    """The first samples of a data set, in order, once through; rank r of W takes samples r, r + W, ….

    Args:
        dataset: where they come from.
        renderer, image_processor: as in training; text-only data sets need no processor.
        batch_size: samples per batch; the last may be smaller.
        limit: only the first so many samples over all ranks.
        max_positions: as in training.
    """

    def __init__(
        self, dataset: IndexedDataset, renderer: SampleRenderer, image_processor: ImageReader | None, *,
        batch_size: int, rank: int = 0, world_size: int = 1, seed: int = 42, num_workers: int = 0,
        limit: int | None = None, max_positions: int | None = None,
    ) -> None:
        if not len(dataset):
            raise UserError("data.empty", where=dataset.name, what="has no samples", fix="see docs/data.md")
        self.num_samples = len(dataset) if limit is None else min(limit, len(dataset))
        self.num_workers = num_workers
        processors = {} if image_processor is None else {dataset.name: image_processor}
        maker = BatchMaker(renderer, processors, seed, max_positions)
        self._ordered = _OrderedBatches(dataset, maker, range(rank, self.num_samples, world_size), batch_size)

    def __len__(self) -> int:
        return len(self._ordered)

    def __iter__(self) -> Iterator[Batch]:
        batches = _data_loader(self._ordered, range(len(self._ordered)), self.num_workers)
        return map(_raise_if_error, batches)


def _batch_or_error(maker: BatchMaker, step: int, drawn: Iterable[Drawn]) -> BatchOrError:
    """The batch, or the user error that prevents it: torch would turn one from a worker into a RuntimeError."""
    try:
        return maker.make(step, drawn)
    except UserError as error:
        return error


@contextmanager
def naming_dead_workers() -> Iterator[None]:
    """A worker process that was killed becomes a `UserError`.

    PyTorch raises it wherever the main thread is when the signal comes, so the whole loop stands inside.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError("data.worker", where="run.num_workers", what="a process that reads images was killed "
                        f"({str(error).splitlines()[0].rstrip('. ')})", fix="continue with the same command and "
                        "--resume; if memory is short, with a smaller run.num_workers") from error


def _raise_if_error(made: BatchOrError) -> Batch:
    if isinstance(made, UserError):
        raise made
    return made


def _data_loader(dataset: Dataset[BatchOrError], steps: Iterable[int] | None, num_workers: int,
                 prefetch: int = PREFETCH, pinned: bool = False) -> DataLoader[BatchOrError]:
    """Whole batches over worker processes. Its own generator keeps torch's global one where it was."""
    return DataLoader(
        dataset, batch_size=None, sampler=steps, num_workers=num_workers,  # type: ignore[arg-type]
        generator=torch.Generator().manual_seed(0), prefetch_factor=prefetch if num_workers else None,
        pin_memory=pinned,
    )
