"""Example images and questions for a page: drawn from a seed, or photographs of the checkout, wherever it runs."""

from __future__ import annotations

from pathlib import Path

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.scenes.data.album import read_album
from minigpt4.scenes.drawing import draw
from minigpt4.scenes.sampling import allowed_pairs, random_for, sample_scene
from minigpt4.scenes.words.languages import Language
from minigpt4.scenes.words.questions import ask
from minigpt4.scenes.words.wording import QuestionType
from minigpt4.serve.page import Example

QUESTIONS: tuple[tuple[QuestionType, Language], ...] = (
    (QuestionType.COLOUR, "en"), (QuestionType.DESCRIPTION, "en"), (QuestionType.WHAT_IS_AT, "zh"),
    (QuestionType.DESCRIPTION, "zh"),
)
SHOWN_SIDE = 224
PHOTOGRAPHS = Path("examples/photos")
ABOUT_PHOTOGRAPHS = (
    (("sunflower",), "What is this?"), (("motorcycle",), "Is there a star?"), (("daisy", "daisy"), "What is the same?"),
    (("tulip",), "这是什么？"), (("shoe",), "主要是什么颜色？"), (("airplane", "airplane"), "有什么相同？"),
)
"""subjects shown and what is asked; a subject named twice = two photographs of it"""
MODEL_TYPE = "scenes"
"""`model.model_type` of the embedded default"""


def examples_for(loaded: LoadedModel, folder: Path) -> list[Example]:
    """Examples for a model: drawings and photographs; those that only the embedded default knows are for it alone."""
    knows_photographs = getattr(loaded.config, "model_type", "") == MODEL_TYPE and PHOTOGRAPHS.is_dir()
    return [*(photograph_examples() if knows_photographs else []), *scene_examples(folder)]


def photograph_examples() -> list[Example]:
    """Photographs of the checkout that no training showed."""
    examples = []
    for subjects, question in ABOUT_PHOTOGRAPHS:
        kept = [str(each.path) for each in read_album(PHOTOGRAPHS).kept_back if each.subject == subjects[0]]
        first, *others = kept[: len(subjects)]
        examples.append(Example(first, question, tuple(others)))
    return examples


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
