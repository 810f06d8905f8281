"""Are the sizes in a config.json possible for the weights beside it? Asked before anything of that size is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from minigpt4.common.errors import UserError

COUNTS_MODULES = re.compile(r"(layers?|blocks|depth|experts|stages)$")
"""keys that say how many modules there are: each has at least a tensor, or a row of one"""
MOST_MODULES = 4096
"""layers or experts of any language model, where no tensors say more exactly"""
LARGEST = 1 << 40
"""no size, id or position of a language model is beyond this"""


def refuse_impossible_sizes(values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], *, where: str) -> None:
    """Raise `UserError` for counts that the file's own tensors rule out.

    Args:
        values: of config.json.
        shapes: of the tensors beside it.
        where: the config.json, for errors.
    """
    possible = max(len(shapes), *(max(shape, default=0) for shape in shapes.values()), 0)
    _refuse(values, possible, where, f"the {len(shapes)} tensors beside it allow",
            "download or copy config.json and weights again")


def refuse_absurd_sizes(values: Mapping[str, Any], *, where: str) -> None:
    """Raise `UserError` for counts that no language model has."""
    _refuse(values, MOST_MODULES, where, "no language model has more than", "use a smaller number")


def _refuse(values: Mapping[str, Any], modules: int, where: str, because: str, fix: str) -> None:
    for key, number in _whole_numbers(values, ""):
        limit = modules if COUNTS_MODULES.search(key) else LARGEST
        if abs(number) > limit:
            raise UserError("weights.sizes", where=where, what=f"says {key} {number}; {because} {limit}", fix=fix)


def _whole_numbers(value: object, key: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield key, value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from _whole_numbers(child, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for child in value:
            yield from _whole_numbers(child, key)
