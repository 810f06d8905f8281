"""Example images and questions: scenes drawn from a seed, so that a page has some wherever it runs."""

from __future__ import annotations

from pathlib import Path

from minigpt4.scenes.drawing import draw
from minigpt4.scenes.sampling import allowed_pairs, random_for, sample_scene
from minigpt4.scenes.words.languages import Language
from minigpt4.scenes.words.questions import ask
from minigpt4.scenes.words.wording import QuestionType
from minigpt4.serve.page import Example

QUESTIONS: tuple[tuple[QuestionType, Language], ...] = (
    (QuestionType.COLOUR, "en"), (QuestionType.DESCRIPTION, "en"), (QuestionType.WHERE, "en"),
    (QuestionType.WHAT_IS_AT, "zh"), (QuestionType.DESCRIPTION, "zh"), (QuestionType.COUNT, "en"),
)
SHOWN_SIDE = 224


def scene_examples(folder: Path) -> list[Example]:
    """Draw a scene for each kind of question into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = []
    allowed = allowed_pairs("seen", 0)
    for number, (kind, language) in enumerate(QUESTIONS):
        random = random_for(0, "page", number)
        scene = sample_scene(random, allowed=allowed)
        file = folder / f"scene_{number + 1}.png"
        draw(scene).resize((SHOWN_SIDE, SHOWN_SIDE)).save(file)
        examples.append(Example(str(file), ask(scene, kind, language, random, allowed=allowed).question))
    return examples
