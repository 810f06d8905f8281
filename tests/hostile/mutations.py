"""Seeded changes of files: values of JSON and YAML replaced, bytes flipped, cut, emptied, exchanged."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, 1, 7, 10 ** 6, 10 ** 12, 2 ** 63, 1e308, float("nan"), "", "x", "../../../etc/passwd", "\0",
    "a" * 5000, [], {}, [None], [[]], {"a": 1}, {"": {}}, [1, 2, 3], "null", "1", "\ud800",
)
"""what stands where something else is expected"""


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a tree, itself first."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from paths_in(child, (*path, key))


def changed_tree(value: Any, chance: random.Random, depth: int = 3) -> tuple[Any, str]:
    """The tree with one value replaced, removed or doubled; and what was done, in words."""
    tree = copy.deepcopy(value)
    places = [path for path in paths_in(tree) if 0 < len(path) <= depth]
    path = chance.choice(places)
    owner = tree
    for key in path[:-1]:
        owner = owner[key]
    if chance.random() < 0.15:
        del owner[path[-1]]
        return tree, f"{path} removed"
    owner[path[-1]] = chance.choice(VALUES)
    return tree, f"{path} = {str(owner[path[-1]])[:40]!r}"


def change_json(path: Path, chance: random.Random, depth: int = 3) -> str:
    """Change one value of a JSON file."""
    tree, words = changed_tree(json.loads(path.read_text(encoding="utf-8")), chance, depth)
    path.write_text(json.dumps(tree), encoding="utf-8", errors="surrogatepass")
    return f"{path.name}: {words}"


def change_yaml(path: Path, chance: random.Random, depth: int = 4) -> str:
    """Change one value of a YAML file."""
    tree, words = changed_tree(yaml.safe_load(path.read_text(encoding="utf-8")), chance, depth)
    path.write_text(json.dumps(tree), encoding="utf-8", errors="surrogatepass")  # JSON is YAML
    return f"{path.name}: {words}"


def change_bytes(path: Path, chance: random.Random) -> str:
    """Flip bits, cut, empty, fill with noise or zeros, or put something else in front."""
    content = bytearray(path.read_bytes())
    kind = chance.choice(("flip", "flip", "flips", "cut", "empty", "noise", "zeros", "page", "grow"))
    place = chance.randrange(max(1, len(content)))
    if kind == "flip" and content:
        content[place] ^= 1 << chance.randrange(8)
    elif kind == "flips" and content:
        for _ in range(20):
            content[chance.randrange(min(len(content), 4096))] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "empty":
        content.clear()
    elif kind == "noise":
        content[place : place + 64] = chance.randbytes(64)
    elif kind == "zeros":
        content[place : place + 512] = bytes(len(content[place : place + 512]))
    elif kind == "page":
        content[:0] = b"<!DOCTYPE html><html>quota exceeded</html>"
    else:
        content += chance.randbytes(33)
    path.write_bytes(bytes(content))
    return f"{path.name}: {kind} at {place}"


class Acts:
    """Writes a file when it is unpickled."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return open, (str(self.sign), "w")


def write_acting_pickles(path: Path, sign: Path, chance: random.Random) -> str:
    """A pickle that would write `sign`, as a plain file or as one of torch."""
    acts = Acts(sign)
    content = chance.choice((acts, {"model": acts}, {"step": acts, "a": torch.zeros(2)}, [acts]))
    if chance.random() < 0.5:
        path.write_bytes(pickle.dumps(content))
        return f"{path.name}: a pickle"
    torch.save(content, path)
    return f"{path.name}: a file of torch"
