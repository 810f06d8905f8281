"""Read an evaluation split of scenes back: images with their facts and questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError
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
    """The first `limit` scenes of a split that `minigpt4 data scenes` wrote. Raises `UserError` if there is none."""
    path = folder / "scenes.jsonl"
    if not path.is_file():
        raise UserError("scenes.missing", where=str(path), what="does not exist",
                        fix=f"write it: minigpt4 data scenes --output {folder.parent}")
    lines = path.read_text(encoding="utf-8").splitlines()[:limit]
    return [_asked(folder, json.loads(line)) for line in lines]


def _asked(folder: Path, record: Mapping[str, Any]) -> AskedScene:
    exchanges = tuple(Exchange(**{**each, "type": QuestionType(each["type"])}) for each in record["exchanges"])
    return AskedScene(folder / record["image"], scene_of(record["scene"]), exchanges)


def scene_of(record: Mapping[str, Any]) -> Scene:
    """The scene that `dataclasses.asdict` wrote."""
    return Scene(tuple(Group(**group) for group in record["groups"]), record["background"], record["layout_seed"])
