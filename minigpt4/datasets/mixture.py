"""Several data sets as one endless row of samples: position -> (data set, sample), a function of (seed, position).

Each position draws its data set by weight; the k-th draw of a data set of n samples is sample k mod n of its
permutation of epoch k div n. So within a data set everything is seen once before anything is seen twice.
The draw is per sample in every behaviour: the originals drew one data set per step, so that a batch never mixed them
(docs/originals/minigpt4.md#data-mixture); over many steps the shares are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minigpt4.common.errors import UserError
from minigpt4.common.seeds import seed_for
from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.datasets.order import permuted, uniform_numbers
from minigpt4.records.conversations import Sample, Unreadable

BLOCK = 1 << 16
"""positions whose draws are made and counted at once (about 1 ms)"""


@dataclass(frozen=True)
class Place:
    """A sample of the mixture: number in its data set, in which epoch of that data set."""

    dataset: int
    number: int
    epoch: int


@dataclass(frozen=True)
class _Draws:
    """Draws of one block: which data set [BLOCK], how often it was drawn before within the block [BLOCK]."""

    chosen: np.ndarray
    earlier: np.ndarray
    totals: np.ndarray


class Mixture:
    """Weighted data sets under one order.

    Args:
        datasets: at least one, none empty.
        weights: one per data set; divided by their sum.
        seed: of the draws and the permutations.
    """

    def __init__(self, datasets: Sequence[IndexedDataset], weights: Sequence[float], seed: int) -> None:
        for dataset in datasets:
            if not len(dataset):
                raise UserError("data.empty", where=dataset.name, what="has no samples", fix="see docs/data.md")
        self.datasets = tuple(datasets)
        self.shares = np.array(weights, dtype=np.float64) / sum(weights)
        self.seed = seed
        self._counts_before = [np.zeros(len(self.datasets), dtype=np.int64)]
        self._draws = lru_cache(maxsize=4)(self._draw_block)

    def __getstate__(self) -> dict[str, object]:
        return {"datasets": self.datasets, "shares": self.shares, "seed": self.seed}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._counts_before = [np.zeros(len(self.datasets), dtype=np.int64)]
        self._draws = lru_cache(maxsize=4)(self._draw_block)

    @property
    def num_samples(self) -> int:
        """Samples of all data sets together: one epoch where the config names no length."""
        return sum(len(dataset) for dataset in self.datasets)

    def place(self, position: int) -> Place:
        """Which sample stands at a position."""
        if len(self.datasets) == 1:
            return self._drawn(0, position)
        block, offset = divmod(position, BLOCK)
        draws = self._draws(block)
        chosen = int(draws.chosen[offset])
        return self._drawn(chosen, int(self._before(block)[chosen] + draws.earlier[offset]))

    def sample(self, position: int) -> tuple[str, Sample | Unreadable]:
        """Name of the data set and the sample at a position."""
        place = self.place(position)
        dataset = self.datasets[place.dataset]
        return dataset.name, dataset.sample(place.number, place.epoch)

    def require(self, global_batch: int) -> None:
        """Raise `UserError` if a data set has fewer samples than its share of one global batch."""
        for dataset, share in zip(self.datasets, self.shares, strict=True):
            needed = int(np.ceil(share * global_batch - 1e-9))
            if len(dataset) < needed:
                raise UserError(
                    "data.too_small", where=dataset.name,
                    what=f"has {len(dataset)} samples, one batch over all ranks takes {needed}",
                    fix="lower batch_size (with accum_grad_iters for the same effect) or add samples",
                )

    def _drawn(self, dataset: int, count: int) -> Place:
        size = len(self.datasets[dataset])
        epoch, number = divmod(count, size)
        return Place(dataset, permuted(number, size, seed_for(self.seed, "order", dataset, epoch)), epoch)

    def _draw_block(self, block: int) -> _Draws:
        numbers = uniform_numbers(block * BLOCK, BLOCK, seed_for(self.seed, "mixture"))
        chosen = np.searchsorted(np.cumsum(self.shares)[:-1], numbers, side="right")
        earlier = np.zeros(BLOCK, dtype=np.int64)
        for dataset in range(len(self.datasets)):
            own = chosen == dataset
            earlier[own] = np.arange(own.sum())
        return _Draws(chosen, earlier, np.bincount(chosen, minlength=len(self.datasets)))

    def _before(self, block: int) -> np.ndarray:
        """[datasets] how often each was drawn before a block; counted once, then remembered."""
        while len(self._counts_before) <= block:
            known = len(self._counts_before) - 1
            self._counts_before.append(self._counts_before[known] + self._draws(known).totals)
        return self._counts_before[block]


def mixture_weights(ratios: Mapping[str, float | None]) -> list[float]:
    """`sample_ratio` of each data set; all equal where none has one. Raises `UserError` where only some have one."""
    missing = [name for name, ratio in ratios.items() if ratio is None]
    if missing and len(missing) < len(ratios):
        raise UserError("data.ratio", where=f"datasets.{missing[0]}",
                        what="has no sample_ratio, the other data sets have one",
                        fix="give it to all data sets or to none")
    return [1.0 if ratio is None else ratio for ratio in ratios.values()]
