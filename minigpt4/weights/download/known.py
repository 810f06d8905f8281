"""Weights with names known to this project: where they come from, under which licence, what they are for.

One YAML a name in `minigpt4/configs/weights/`. Downloaded, a file is called NAME or NAME.pth, a folder NAME. A size or
a checksum stands there only where a public source states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from minigpt4.common.config.paths import KNOWN_WEIGHTS
from minigpt4.common.errors import UserError, nearest

HUB = "hub:"
"""before a repository's name: a repository that no YAML knows"""
REQUIRED = ("words", "licence", "use")


@dataclass(frozen=True)
class Source:
    """One place to get it from: a web address, or a repository of the hub.

    Args:
        url: address of the file.
        hub: owner/name of a repository.
        repo_type: model, dataset or space.
        revision: branch, tag or commit of the repository.
        file: path in the repository where one file is wanted, else empty.
    """

    url: str = ""
    hub: str = ""
    repo_type: str = "model"
    revision: str = "main"
    file: str = ""


@dataclass(frozen=True)
class KnownFile:
    """A file under its final name; None = not stated."""

    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class KnownWeights:
    """What a YAML says.

    Args:
        name: what is typed.
        words: what it is.
        licence: of the weights; empty = the repository states it.
        use: what to type with it, `{path}` is its path.
        sources: tried in this order; none = only by hand.
        file: the one file that it is; None = it is a folder.
        files: what a folder consists of; empty = what the repository holds.
        gigabytes: its approximate size, where `file` and `files` do not say.
        by_hand: how a person gets it.
    """

    name: str
    words: str
    licence: str
    use: str
    sources: tuple[Source, ...] = ()
    file: KnownFile | None = None
    files: tuple[KnownFile, ...] = ()
    gigabytes: float | None = None
    by_hand: str = ""

    @property
    def num_bytes(self) -> int | None:
        """Bytes of all of it, exactly or about."""
        sizes = [file.size for file in ([self.file] if self.file else self.files)]
        if sizes and None not in sizes:
            return sum(size for size in sizes if size is not None)
        return None if self.gigabytes is None else int(self.gigabytes * 1e9)

    def place(self, folder: Path) -> Path:
        """Where it is once downloaded into `folder`."""
        return folder / (self.file.name if self.file else self.name)


@cache
def known_weights() -> Mapping[str, KnownWeights]:
    """name -> what its YAML says."""
    return {path.stem: _read(path) for path in sorted(KNOWN_WEIGHTS.glob("*.yaml"))}


def find_known(name: str) -> KnownWeights:
    """The weights of a name, of its file's name, or `hub:OWNER/NAME` for any repository of the hub.

    Raises:
        UserError: it is unknown.
    """
    if name.startswith(HUB):
        return _repository(name.removeprefix(HUB))
    known = known_weights()
    stem = name.removesuffix(".pth")
    if stem not in known:
        raise UserError("weights.unknown", where=name, what="no known weights have this name",
                        fix=f"{nearest(name, known)}; any repository of the hub: {HUB}OWNER/NAME")
    return known[stem]


def _repository(repository: str) -> KnownWeights:
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise UserError("weights.unknown", where=HUB + repository, what="is not a repository of the hub",
                        fix=f"write {HUB}OWNER/NAME")
    return KnownWeights(name, f"the repository {repository} of the hub", licence="", sources=(Source(hub=repository),),
                        use="minigpt4 weights info {path}")


def _read(path: Path) -> KnownWeights:
    values = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    missing = [key for key in REQUIRED if key not in values]
    if missing or not (values.get("sources") or values.get("by_hand")):
        raise UserError("weights.known", where=str(path), what=f"lacks {', '.join(missing) or 'sources or by_hand'}")
    file = values.pop("file", None)
    return _made(KnownWeights, path, {
        **values,
        "name": path.stem,
        "file": _made(KnownFile, path, file) if file else None,
        "files": tuple(_made(KnownFile, path, one) for one in values.get("files", ())),
        "sources": tuple(_made(Source, path, one) for one in values.get("sources", ())),
    })


T = TypeVar("T", Source, KnownFile, KnownWeights)


def _made(kind: type[T], path: Path, values: Mapping[str, Any]) -> T:
    known = [field.name for field in fields(kind)]
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        raise UserError("weights.known", where=str(path), what=f"unknown key '{unknown}'", fix=nearest(unknown, known))
    return kind(**values)
