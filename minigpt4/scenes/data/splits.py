"""Read an evaluation split of scenes back: images with their facts and questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.common.texts import read_text
from minigpt4.scenes.scene import Group, Scene
from minigpt4.scenes.words.questions import Exchange
from minigpt4.scenes.words.wording import QuestionType


@dataclass(frozen=True)
class AskedScene:
    """An image, what is in it, and what is asked about it."""

    image: Path
    scene: Scene
    exchanges: tuple[Exchange, ...]


def read_split(folder: Path, limit: int | None = None) -> list[AskedScene]:
    """The first `limit` scenes of a split that `minigpt4 data scenes` wrote.

    Raises:
        UserError: there is no such file, or a line of it is something else.
    """
    path = folder / "scenes.jsonl"
    if not path.is_file():
        raise UserError("scenes.missing", where=str(path), what="does not exist",
                        fix=f"write it: minigpt4 data scenes --output {folder.parent}")
    lines = read_text(path, "scenes.split").split("\n")
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return [_read(folder, line, f"{shown(path)}:{number}") for number, line in numbered[:limit]]


def _read(folder: Path, line: str, where: str) -> AskedScene:
    try:
        return _asked(folder, json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, RecursionError) as error:
        kind = type(error).__name__
        raise UserError("scenes.split", where=where, what=f"is no scene with questions ({kind}: {str(error)[:100]})",
                        fix="write the split again: minigpt4 data scenes") from error


def _asked(folder: Path, record: Mapping[str, Any]) -> AskedScene:
    exchanges = tuple(Exchange(**{**each, "type": QuestionType(each["type"])}) for each in record["exchanges"])
    return AskedScene(folder / record["image"], scene_of(record["scene"]), exchanges)


def scene_of(record: Mapping[str, Any]) -> Scene:
    """The scene that `dataclasses.asdict` wrote."""
    return Scene(tuple(Group(**group) for group in record["groups"]), record["background"], record["layout_seed"])
