"""What `manifest.json` of a bundle says, typed: read once, checked as a whole, refused in sentences.

Keys that a bundle of an earlier version lacks have a default here; keys of a later one are left alone.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt4.common.config.layers import Layer, Origin
from minigpt4.common.config.report import FAILED, Report, Spot
from minigpt4.common.config.typed import make_dataclass
from minigpt4.common.errors import UserError, printable
from minigpt4.records.knowledge import Knowledge
from minigpt4.weights.bundles.licences import UNKNOWN

FORMAT = 1
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""what no name, text or place needs, and a terminal might obey"""


@dataclass(frozen=True)
class StoredOrigin:
    """A file that a part was read from, when the bundle was written."""

    source: str
    place: str = ""
    identity: str = ""
    """fingerprint of the tensors that were read"""
    num_tensors: int = 0


@dataclass(frozen=True)
class StoredAdapters:
    """Adapters (LoRA) of a part."""

    r: int
    alpha: float
    target_modules: list[str]
    identity: str


@dataclass(frozen=True)
class PartEntry:
    """One part of the model."""

    stored: bool
    """its tensors are in the bundle"""
    frozen: bool = True
    identity: str = ""
    """fingerprint of the stored tensors"""
    origins: list[StoredOrigin] = field(default_factory=list)
    licence: str | None = None
    lora: StoredAdapters | None = None


@dataclass(frozen=True)
class RecipeEntry:
    """Which system built the model."""

    arch: str
    model_type: str = ""


@dataclass(frozen=True)
class ImageEntry:
    """The pixels it was trained on (`records.images.ImageSpec`)."""

    size: int
    opening: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fit: str | None = None
    method: str | None = None
    tokens_per_image: int | None = None
    """here in the first bundles, then beside `image`"""


@dataclass(frozen=True)
class TokenizerEntry:
    """Which tokenizer it was trained with."""

    identity: str
    vocab_size: int
    place: str = ""


@dataclass(frozen=True)
class DataEntry:
    """A data set it was trained on."""

    name: str
    licence: str = UNKNOWN


@dataclass(frozen=True)
class Manifest:
    """The whole file; None = the bundle is older than the key."""

    parts: dict[str, PartEntry]
    format: int = 0
    stage: str = ""
    step: int = 0
    recipe: RecipeEntry | None = None
    behaviour: str | None = None
    template: str | None = None
    chat_template: str | None = None
    stops: list[str] | None = None
    image: ImageEntry | None = None
    tokens_per_image: int | None = None
    vocab_size: int | None = None
    tokenizer: TokenizerEntry | None = None
    versions: dict[str, str] = field(default_factory=dict)
    data: list[DataEntry] = field(default_factory=list)
    knows: Knowledge | None = None
    files: dict[str, int] = field(default_factory=dict)
    """every other file of the bundle and its size in bytes; empty in a bundle without checksums"""


def read_manifest(content: object, path: Path) -> Manifest:
    """The manifest that the content of a JSON file is.

    Raises:
        UserError: it is of another shape, naming every key that is wrong, or of a later format.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("parts"), Mapping):
        raise UserError("bundle.manifest", where=str(path), fix="take another copy of the bundle",
                        what="is not the manifest of a bundle: it names no parts")
    if odd := next((text for text in _texts(content) if CONTROL.search(text)), None):
        raise UserError("bundle.manifest", where=str(path), fix="take another copy of the bundle",
                        what=f"holds control characters: {printable(odd)[:80]}")
    number = content.get("format", 0)
    if isinstance(number, int) and number > FORMAT:
        raise UserError("bundle.format", where=str(path), fix="update minigpt4",
                        what=f"has format {number}; this version reads up to {FORMAT}")
    values = _of_known_keys(Manifest, content)
    report = Report(Layer(values, {(): Origin(path)}), check_paths=False)
    made = make_dataclass(Manifest, values, Spot(report, ()))
    report.raise_if_any()
    assert made is not FAILED, "what fails is in the report"
    manifest: Manifest = made
    return manifest


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield str(key)
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)


def _of_known_keys(hint: object, value: object) -> Any:
    """The value without the keys that no dataclass of `hint` has."""
    if typing.get_origin(hint) is list and isinstance(value, list):
        return [_of_known_keys(typing.get_args(hint)[0], each) for each in value]
    if typing.get_origin(hint) is dict and isinstance(value, Mapping):
        return {str(key): _of_known_keys(typing.get_args(hint)[1], each) for key, each in value.items()}
    classes = [each for each in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(each)]
    if not classes or not isinstance(value, Mapping):
        return value
    hints = typing.get_type_hints(classes[0])
    return {str(key): _of_known_keys(hints[key], each) for key, each in value.items() if key in hints}
