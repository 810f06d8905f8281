"""Which kinds come in which colours: some combinations are held out from all training, to be met in evaluation only.

Two variants, because choosing a recipe by its held-out figures uses that variant up: the second is for the final check.
"""

from __future__ import annotations

from minigpt4.scenes.scene import COLOURS, KINDS, Pair

ALL_PAIRS = frozenset((kind, colour) for kind in KINDS for colour in COLOURS)

VARIANTS = (0, 1)


def held_out(variant: int = 0) -> frozenset[Pair]:
    """24 of the 128 combinations, spread over all kinds (1 or 2 of 8 colours) and all colours (2 or 4 of 16 kinds).

    The variants are disjoint: number 1 is number 0 with the colours moved by two places.
    """
    assert variant in VARIANTS, f"variant {variant} is not one of {VARIANTS}"
    numbered = [(i, j) for i in range(len(KINDS)) for j in range(len(COLOURS))]
    return frozenset((KINDS[i], COLOURS[j]) for i, j in numbered if _is_held(i, j - 2 * variant))


def in_training(variant: int = 0) -> frozenset[Pair]:
    """The combinations that training may show and name."""
    return ALL_PAIRS - held_out(variant)


def _is_held(i: int, j: int) -> bool:
    return (3 * i + j) % 8 == 0 or (i % 2 == 0 and (5 * i + j + 3) % 8 == 0)
