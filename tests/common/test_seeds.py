"""Chance is a function of (seed, step, rank)."""

from __future__ import annotations

import random

import numpy as np
import torch

from minigpt4.common.seeds import seed_everything, seed_for, undisturbed


def _draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_same_seed_draws_the_same() -> None:
    seed_everything(seed_for(42, 7, 0))
    first = _draws()
    seed_everything(seed_for(42, 7, 0))
    assert _draws() == first


def test_near_seeds_are_unrelated() -> None:
    assert len({seed_for(42, step, rank) for step in range(50) for rank in range(4)}) == 200


def test_undisturbed_leaves_no_trace() -> None:
    seed_everything(1)
    expected = _draws()
    seed_everything(1)
    with undisturbed():
        _draws()
    assert _draws() == expected
