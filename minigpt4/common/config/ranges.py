"""Numbers that make sense: a range stands in the type of a field (`max_epoch: PositiveInt`), so that the config engine,
the command line, the JSON Schema and docs/config.md all say the same.
"""

from __future__ import annotations

import argparse
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

LARGEST = 10 ** 12
"""no count of samples, steps or pixels is beyond this"""


@dataclass(frozen=True)
class Range:
    """The numbers that a key may have.

    Args:
        low, high: bounds, included unless said otherwise.
        above_low, below_high: the bound itself is left out.
        instead: what to write where the refused number was meant to say something else.
    """

    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    below_high: bool = False
    instead: str = ""

    def __contains__(self, number: float) -> bool:
        over = number > self.low if self.above_low else number >= self.low
        under = number < self.high if self.below_high else number <= self.high
        return over and under and (isinstance(number, int) or math.isfinite(number))

    def __str__(self) -> str:
        """'1 or more', '1 to 1024', 'more than 0 and up to 1'"""
        if self.high not in (math.inf, LARGEST) and self.low != -math.inf and not (self.above_low or self.below_high):
            return f"{self.low:g} to {self.high:.12g}"
        low = "" if self.low == -math.inf else f"more than {self.low:g}" if self.above_low else f"{self.low:g} or more"
        high = f"below {self.high:g}" if self.below_high else f"up to {self.high:.12g}"
        high = "" if self.high in (math.inf, LARGEST) else high
        return " and ".join(filter(None, (low, high)))

    @property
    def advice(self) -> str:
        """What to do instead of a refused number."""
        return f"use {self}{f'; {self.instead}' if self.instead else ''}"

    def as_schema(self) -> dict[str, float]:
        """The keys of JSON Schema that say the same."""
        named = {"exclusiveMinimum" if self.above_low else "minimum": self.low,
                 "exclusiveMaximum" if self.below_high else "maximum": self.high}
        return {key: int(bound) if bound == int(bound) else bound for key, bound in named.items()
                if math.isfinite(bound)}


PositiveInt: TypeAlias = Annotated[int, Range(1, LARGEST)]
NonNegativeInt: TypeAlias = Annotated[int, Range(0, LARGEST)]
Seed: TypeAlias = Annotated[int, Range(0, 2 ** 32 - 1)]
Port: TypeAlias = Annotated[int, Range(1, 65535)]
Processes: TypeAlias = Annotated[int, Range(0, 512)]
Threads: TypeAlias = Annotated[int, Range(1, 1024)]
Side: TypeAlias = Annotated[int, Range(1, 16384)]
"""of an image, in pixels"""
Width: TypeAlias = Annotated[int, Range(1, 1 << 20)]
"""of a layer"""
Depth: TypeAlias = Annotated[int, Range(1, 4096)]
"""number of layers, heads or tokens an image becomes"""
Beams: TypeAlias = Annotated[int, Range(1, 1000)]
Variant: TypeAlias = Annotated[int, Range(0, 1)]
"""of the combinations that are held out"""
PositiveFloat: TypeAlias = Annotated[float, Range(0, above_low=True)]
NonNegativeFloat: TypeAlias = Annotated[float, Range(0)]
Share: TypeAlias = Annotated[float, Range(0, 1)]
"""from none to all"""
PositiveShare: TypeAlias = Annotated[float, Range(0, 1, above_low=True)]
OpenShare: TypeAlias = Annotated[float, Range(0, 1, above_low=True, below_high=True)]
"""some, not all"""
Chance: TypeAlias = Annotated[float, Range(0, 1, below_high=True)]
"""from never to almost always: a dropout, a decay per step"""


def range_of(hint: object) -> Range | None:
    """The range in a type: of `Annotated[int, Range(…)]`, also inside `… | None`."""
    if typing.get_origin(hint) is Annotated:
        return next((each for each in typing.get_args(hint)[1:] if isinstance(each, Range)), None)
    return next((found for each in typing.get_args(hint) if (found := range_of(each))), None)


def number(hint: object) -> Callable[[str], float]:
    """A `type=` for argparse: reads a number of a type with a range, and says the range where it is not in it."""
    kind, allowed = typing.get_args(hint)[0], range_of(hint)
    assert allowed is not None, "a type with a range"

    def read(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is no {'whole ' if kind is int else ''}number; "
                                             f"{allowed.advice}") from None
        if value not in allowed:
            raise argparse.ArgumentTypeError(f"is {text}; {allowed.advice}")
        return value

    return read
