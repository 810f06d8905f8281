"""Original keys: the flat ones that live elsewhere today, and those that have no effect any more.

A system, builder or runner may bring two tables. `original_keys`: flat key -> (dotted key today, translation of its
values or None); always valid. `retired_keys`: key -> why it has no effect; accepted with one sentence.
Layers are translated singly, so that a person's new key wins over a packaged original one and the other way round.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from minigpt4.common.config.layers import KeyPath, Layer, dotted, merge
from minigpt4.common.errors import UserError

logger = logging.getLogger(__name__)

OriginalKeys = Mapping[str, tuple[str, Mapping[Any, Any] | None]]


def translated(layer: Layer, prefix: KeyPath, table: OriginalKeys, errors: list[UserError]) -> Layer:
    """The layer with original keys below `prefix` moved to where they live today."""
    below = layer.get(prefix)
    if not isinstance(below, Mapping):
        return layer
    for key in [key for key in below if key in table]:
        new_key, values = table[key]
        layer = _moved(layer, (*prefix, key), (*prefix, *new_key.split(".")), values, errors)
    return layer


def _moved(layer: Layer, old: KeyPath, new: KeyPath, values: Mapping[Any, Any] | None,
           errors: list[UserError]) -> Layer:
    value, origin = layer.get(old), dataclasses.replace(layer.origin(old), written_as=dotted(old))
    rest = without(layer, old)
    if layer.get(new) is not None:
        errors.append(UserError(
            "config.twice", where=str(origin), what=f"{dotted(old)} is the original's name of {dotted(new)}, "
            f"which is given too ({layer.origin(new)})", fix="keep one of them",
        ))
        return rest
    if values is not None:
        if value not in list(values):  # a list, as the value may be one that has no hash
            known = ", ".join(str(each) for each in values)
            errors.append(UserError("config.value", where=str(origin), what=f"{dotted(old)} is {value!r}",
                                    fix=f"known: {known}"))
            return rest
        value = values[value]
    for key in reversed(new):
        value = {key: value}
    return merge([rest, Layer(value, {new: origin})])


def without(layer: Layer, path: KeyPath) -> Layer:
    """The layer without the value at a path."""
    kept = merge([layer])
    parent = kept.get(path[:-1]) if len(path) > 1 else kept.values
    del parent[path[-1]]
    origins = {at: origin for at, origin in kept.origins.items() if at[: len(path)] != path}
    return Layer(kept.values, origins)


def without_retired(layer: Layer, prefix: KeyPath, table: Mapping[str, str]) -> Layer:
    """The layer without keys that have no effect any more; one sentence in the log names them."""
    below = layer.get(prefix) if prefix else layer.values
    retired = [key for key in below if key in table] if isinstance(below, Mapping) else []
    for key in retired:
        place = layer.origin((*prefix, key))
        layer = without(layer, (*prefix, key))
        logger.debug("%s: %s has no effect any more: %s", place, dotted((*prefix, key)), table[key])
    if retired:
        reasons = ", ".join(f"{dotted((*prefix, key))} ({table[key]})" for key in retired)
        logger.info("%s: keys without effect any more: %s", layer.origin(()), reasons)
    return layer
