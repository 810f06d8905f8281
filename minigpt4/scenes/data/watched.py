"""Some images with questions that training answers as it goes on: scenes and photographs it was not trained on."""

from __future__ import annotations

import json
from pathlib import Path

from minigpt4.scenes.data.album import Album
from minigpt4.scenes.data.pictures import encoded, ending_of
from minigpt4.scenes.sampling import allowed_pairs, random_for, sample_scene
from minigpt4.scenes.words.languages import Language
from minigpt4.scenes.words.newcomer import NewcomerType
from minigpt4.scenes.words.newcomer_questions import ask_newcomer
from minigpt4.scenes.words.word_vectors import View

LIST = "watched.jsonl"
SUBJECTS = ("sunflower", "airplane", "shoe", "tulip")
OF_PHOTOGRAPHS: tuple[tuple[NewcomerType, Language], ...] = (
    (NewcomerType.WHAT, "en"), (NewcomerType.IS_THERE, "en"), (NewcomerType.WHAT, "zh"),
    (NewcomerType.MAIN_COLOUR, "en"),
)
OF_SCENES: tuple[tuple[NewcomerType, Language], ...] = (
    (NewcomerType.SEE, "en"), (NewcomerType.MAIN_COLOUR, "zh"), (NewcomerType.WHAT, "en"),
)


def write_watched(folder: Path, seed: int, variant: int, album: Album | None) -> None:
    """Write images and `watched.jsonl` into a new folder: a question about each image."""
    (folder / "images").mkdir(parents=True)
    views: list[tuple[View, NewcomerType, Language]] = [
        (sample_scene(random_for(seed, "watched", number), allowed=allowed_pairs("seen", variant)), type, language)
        for number, (type, language) in enumerate(OF_SCENES)
    ]
    if album is not None:
        kept = {each.subject: each for each in album.kept_back}
        views += [(kept[subject].as_it_is(), type, language)
                  for subject, (type, language) in zip(SUBJECTS, OF_PHOTOGRAPHS, strict=True)]
    lines = []
    for number, (view, type, language) in enumerate(views):
        name = f"images/{number}.{ending_of(view)}"
        (folder / name).write_bytes(encoded(view))
        asked = ask_newcomer(view, type, language, random_for(seed, "asked", number))
        lines.append(json.dumps({"image": name, "question": asked.question, "answer": asked.answer},
                                ensure_ascii=False))
    (folder / LIST).write_text("\n".join(lines) + "\n", encoding="utf-8")
