"""The one place that seeds every source of randomness.

Random numbers are a function of (seed, step, rank) and not of what was drawn before: the runner reseeds at every
step, so a resumed run draws what the uninterrupted one drew, whatever validation, workers or logging drew in between.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_for(*parts: int | str) -> int:
    """A seed below 2**32 (numpy's limit) from numbers and names; near inputs give unrelated seeds."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is drawn inside leaves no trace outside: python, numpy and torch continue as if nothing had happened."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
