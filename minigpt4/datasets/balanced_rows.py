"""Micro-batches of about as many tokens each: within a pool of consecutive positions, samples are dealt by length.

Every micro-batch keeps its number of samples, only which ones changes, and that is a function of the pool's lengths and
the seed. So the data's state stays one integer, every sample comes once, and the rows are the same for any number of
workers and ranks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import pairwise

from minigpt4.common.errors import UserError
from minigpt4.common.seeds import seed_for
from minigpt4.datasets.order import permuted

POOL_ROWS = 32
"""micro-batches of a pool: with 8 samples of 8 to 400 tokens in each, their sums are then within about 1 %"""
MEASURED = 1024
"""first samples whose lengths say how many of them make a row; more change the mean by under 2 %"""
KEPT_POOLS = 4
"""pools whose deal is remembered; ranks and worker processes are at most a few apart"""


class BalancedRows:
    """The order of samples with those of each pool dealt to micro-batches by length.

    Args:
        length: tokens of the sample at a position, 0 for one that cannot be read.
        batch_size: samples of a micro-batch.
        num_samples: of the data; no pool reaches over their end, so everything is seen before anything comes again.
        seed: of the order of long and short micro-batches within a pool.
    """

    def __init__(self, length: Callable[[int], int], batch_size: int, num_samples: int, seed: int) -> None:
        self._length, self._batch_size, self._num_samples, self._seed = length, batch_size, num_samples, seed
        self._pools: dict[int, list[int]] = {}

    def position(self, place: int) -> int:
        """Which position of the usual order comes at a place of this one."""
        size = POOL_ROWS * self._batch_size
        begin = place // self._num_samples * self._num_samples
        first = begin + (place - begin) // size * size
        if first not in self._pools:
            self._pools = dict(list(self._pools.items())[1 - KEPT_POOLS :])
            self._pools[first] = self._dealt(first, min(first + size, begin + self._num_samples))
        return self._pools[first][place - first]

    def _dealt(self, first: int, end: int) -> list[int]:
        """Positions for the places `first` to `end`: the rows there are the micro-batches', cut at both ends."""
        cuts = [first, *range(first // self._batch_size * self._batch_size + self._batch_size, end, self._batch_size),
                end]
        rows = deal([self._length(position) for position in range(first, end)],
                    [later - one for one, later in pairwise(cuts)], seed_for(self._seed, "rows", first))
        return [first + number for row in rows for number in row]


def deal(lengths: Sequence[int], rooms: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Numbers of samples dealt to rows of these many: the longest first, each to the row with least for its room."""
    dealt: list[list[int]] = [[] for _ in rooms]
    totals = [0] * len(rooms)
    waiting = [(0.0, permuted(row, len(rooms), seed), row) for row in range(len(rooms))]
    heapq.heapify(waiting)
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        _, tie, row = heapq.heappop(waiting)
        dealt[row].append(number)
        totals[row] += lengths[number]
        if len(dealt[row]) < rooms[row]:
            heapq.heappush(waiting, (totals[row] / rooms[row], tie, row))
    return [sorted(row) for row in dealt]


def batch_size_within(max_tokens: int, length: Callable[[int], int], num_samples: int) -> int:
    """The most samples whose rows stay within `max_tokens` as the first samples are dealt.

    Args:
        max_tokens: tokens of a micro-batch.
        length: tokens of the sample at a position.
        num_samples: of the data.

    Raises:
        UserError: a sample alone is longer on average.
    """
    lengths = [found for found in map(length, range(min(MEASURED, num_samples))) if found]
    size = max_tokens * len(lengths) // max(1, sum(lengths))
    while size > 1 and _longest_row(lengths, size) > max_tokens:
        size -= 1
    if size < 1:
        raise UserError("config.value", where="run.max_tokens", what=f"is {max_tokens}, and samples have "
                        f"{sum(lengths) / max(1, len(lengths)):.0f} tokens on average", fix="raise it")
    return size


def _longest_row(lengths: Sequence[int], size: int) -> int:
    """Tokens of the longest micro-batch of whole pools of these samples; of one smaller pool where they make none."""
    rows = min(POOL_ROWS, max(1, len(lengths) // size))
    pools = [lengths[first : first + rows * size] for first in range(0, len(lengths) - rows * size + 1, rows * size)]
    return max((sum(pool[number] for number in row) for pool in pools for row in deal(pool, [size] * rows)), default=0)
