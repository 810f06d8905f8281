"""Paths in a config: placeholders are named, absent files found before anything is loaded.

A path is looked for relative to the working directory, then relative to the YAML it is written in; one that begins with
`parts/` or `prompts/` also inside the package, which ships small trained parts and the original's prompts. Anything
with a separator is a path and never a name of the hub.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

PLACEHOLDERS = ("path/to", "please set this value", "???")
SCHEMES = ("pipe:", "http://", "https://", "s3://", "gs://", "hdfs://", "hf://")
PACKAGE = Path(__file__).parents[2]
SHIPPED_PARTS = "parts"
SHIPPED_PROMPTS = "prompts"
"""with the original's names: prompts/alignment.txt"""
KNOWN_WEIGHTS = PACKAGE / "configs" / "weights"
"""one YAML a name that `minigpt4 weights download` knows"""
BRACES = re.compile(r"\{([^{}]*(?:\.\.|,)[^{}]*)\}")


def shipped_folder() -> Path:
    """Where train_configs, eval_configs and prompts are: inside a wheel, else beside the package in the checkout."""
    inside = PACKAGE / "configs" / "shipped"
    return inside if inside.is_dir() else PACKAGE.parent


def portable(text: str) -> str:
    """A path of a part that the package ships as `parts/…`, which is found wherever the package is; others as given."""
    inside = f"{PACKAGE / SHIPPED_PARTS}{os.sep}"
    return f"{SHIPPED_PARTS}/{Path(text[len(inside):]).as_posix()}" if text.startswith(inside) else text


def place_of(text: str) -> Path:
    """Where a path that `portable` gave is on this machine."""
    return Path(found_as(text))


def found_as(text: str) -> str:
    """The same as text; a path of anything else stays as it was written."""
    shipped = PACKAGE / text
    is_shipped = Path(text).parts[:1] == (SHIPPED_PARTS,) and not Path(text).exists() and shipped.exists()
    return str(shipped) if is_shipped else text


def is_placeholder(text: str) -> bool:
    """True for '/path/to/…', 'please set this value …', '<path>' and '???': words that wait to be replaced."""
    lowered = text.strip().lower()
    return any(mark in lowered for mark in PLACEHOLDERS) or bool(re.fullmatch(r"<[^<>]+>", lowered))


def is_remote(text: str) -> bool:
    """True for what only its reader can look for: a pipe or a web address."""
    return text.startswith(SCHEMES)


def name_for_download(text: str) -> str:
    """The name under which `minigpt4 weights download` knows a path's file or folder; '' if it knows none."""
    name = Path(text).name.removesuffix(".pth")
    return name if name and (KNOWN_WEIGHTS / f"{name}.yaml").is_file() else ""


def expand_shards(pattern: str) -> list[str]:
    """`a/{00000..00010}.tar`, `a/{x,y}.tar` and globs as a list of paths; a plain path as itself.

    Numbers keep the width of the first one. A glob lists what exists, sorted; nothing found gives [].
    """
    names = list(_braces(pattern))
    if is_remote(pattern):
        return names
    return list(itertools.chain.from_iterable(
        sorted(glob.glob(name)) if glob.has_magic(name) and not Path(name).exists() else [name] for name in names
    ))


def _braces(pattern: str) -> Iterator[str]:
    found = BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    before, after = pattern[: found.start()], pattern[found.end() :]
    for choice in _choices(found.group(1)):
        yield from _braces(before + choice + after)


def _choices(text: str) -> list[str]:
    bounds = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if bounds is None:
        return text.split(",")
    first, last = bounds.groups()
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def find_path(text: str, kind: str, folder: Path | None) -> tuple[str, str]:
    """Where a path is, and what is wrong with it.

    Args:
        text: as written.
        kind: file, folder, any, or shards (brace patterns and globs).
        folder: folder of the YAML it is written in, the second place to look; the package is the third for its parts.
    Returns:
        (the path to use, "") or (text, a clause that says what is wrong).
    """
    plain = Path(text).expanduser()
    candidates = [plain] if folder is None or plain.is_absolute() else [plain, folder / plain]
    if plain.parts[:1] == (SHIPPED_PARTS,):
        candidates.append(PACKAGE / plain)
    if plain.parts[:1] == (SHIPPED_PROMPTS,):
        candidates.append(shipped_folder() / plain)
    complaints = []
    for candidate in candidates:
        complaint = _shards_complaint(str(candidate)) if kind == "shards" else _complaint(candidate, kind)
        if not complaint:
            return str(candidate) if candidate != Path(text) else text, ""
        complaints.append(complaint)
    return text, complaints[0]


def _complaint(path: Path, kind: str) -> str:
    if not path.exists():
        parent = path.parent
        return "does not exist" if parent.is_dir() else f"does not exist (nor does the folder '{parent}')"
    if kind == "file" and path.is_dir():
        return "is a folder, not a file"
    return "is a file, not a folder" if kind == "folder" and not path.is_dir() else ""


def _shards_complaint(pattern: str) -> str:
    shards = expand_shards(pattern)
    missing = [shard for shard in shards if not Path(shard).exists()]
    if not shards:
        return "matches no file"
    if len(shards) == 1 and missing:
        return "does not exist"
    return f"names {len(shards)} files of which {len(missing)} are absent, the first '{missing[0]}'" if missing else ""
