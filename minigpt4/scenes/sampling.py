"""Scenes by chance.

Whoever draws scene i of a split gives it the chance `random_for(seed, split, i)`: a longer split begins as a shorter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random

from minigpt4.scenes.combinations import held_out, in_training
from minigpt4.scenes.scene import BACKGROUNDS, COLOURS, KINDS, QUADRANTS, SIZES, Group, Pair, Scene

SPLITS = ("train", "seen", "held_out")
"""`train` and `seen` draw from the combinations of training (other scenes), `held_out` from the held-out ones only"""

GROUP_WEIGHTS = (10, 25, 40, 25)
"""how often a scene has one, two, three, four groups, in percent"""

COUNT_WEIGHTS = (55, 15, 15, 15)


def allowed_pairs(split: str, variant: int = 0) -> frozenset[Pair]:
    """The combinations of a split."""
    assert split in SPLITS, f"'{split}' is not one of {SPLITS}"
    return held_out(variant) if split == "held_out" else in_training(variant)


def random_for(*parts: int | str) -> Random:
    """A source of chance of its own for whatever `parts` name; the same on every machine and Python version."""
    name = "/".join(map(str, parts)).encode()
    return Random(int.from_bytes(hashlib.sha256(name).digest()[:8], "big"))


def sample_scene(
    random: Random, *, allowed: frozenset[Pair], group_weights: Sequence[int] = GROUP_WEIGHTS
) -> Scene:
    """A scene all of whose groups are `allowed` combinations."""
    (number,) = random.choices(range(1, len(group_weights) + 1), group_weights)
    quadrants = sorted(random.sample(range(len(QUADRANTS)), number))
    colours = _colours_of(allowed)
    kinds = random.sample(list(colours), number)
    groups = tuple(_group(random, kind, quadrant, colours) for kind, quadrant in zip(kinds, quadrants, strict=True))
    return Scene(groups, random.choice(BACKGROUNDS), random.getrandbits(32))


@lru_cache
def _colours_of(allowed: frozenset[Pair]) -> Mapping[str, Sequence[str]]:
    """kind -> its colours; kinds without any are left out."""
    found = {kind: [colour for colour in COLOURS if (kind, colour) in allowed] for kind in KINDS}
    return {kind: colours for kind, colours in found.items() if colours}


def _group(random: Random, kind: str, quadrant: int, colours: Mapping[str, Sequence[str]]) -> Group:
    colour = random.choice(colours[kind])
    (count,) = random.choices(range(1, 5), COUNT_WEIGHTS)
    size = random.choice(SIZES) if count == 1 else "small"
    return Group(kind, colour, count, size, quadrant)
