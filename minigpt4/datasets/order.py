"""Orders that are functions: position in, number out, nothing drawn before and nothing kept.

So a run needs one integer to be resumed, every rank and worker agrees without talking, and 115 million samples are
shuffled without a list of 115 million numbers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_ROUNDS = 4
"""Feistel rounds; from the fourth on a keyed random function gives a permutation like a random one (Luby, Rackoff)"""

_WORD = (1 << 64) - 1


def mixed(value: int) -> int:
    """splitmix64's finaliser: 64 bits in, 64 bits out, every bit depends on every bit."""
    value = (value + 0x9E3779B97F4A7C15) & _WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _WORD
    return value ^ (value >> 31)


def permuted(number: int, size: int, seed: int) -> int:
    """Where `number` goes in the permutation of 0 … size-1 that `seed` names, in constant memory.

    A Feistel network over the next power of four; numbers that land outside walk on until they are inside.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = number >> half, number & mask
        for key in _round_keys(seed):
            left, right = right, left ^ (mixed(right ^ key) & mask)
        number = left << half | right
        if number < size:
            return number


@lru_cache(maxsize=64)
def _round_keys(seed: int) -> tuple[int, ...]:
    return tuple(mixed(mixed(seed & _WORD) ^ round_number) for round_number in range(_ROUNDS))


def uniform_numbers(first: int, count: int, seed: int) -> np.ndarray:
    """[count] float64 in [0, 1) for positions first, first + 1, …; a position's number is always the same."""
    values = np.arange(first, first + count, dtype=np.uint64) ^ np.uint64(mixed(seed & _WORD))
    values += np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return (values >> np.uint64(11)).astype(np.float64) / (1 << 53)
