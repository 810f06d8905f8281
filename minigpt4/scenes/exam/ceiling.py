"""The ceiling: the language model is given each scene as sums of its own words, so nothing is lost on the way to it.

What it gets wrong then, no projection can fix.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.evaluation.asking import Gallery
from minigpt4.inference.images import as_image_ref
from minigpt4.scenes.data.splits import AskedScene
from minigpt4.scenes.tasks.scene_words_pretrain import word_tokens
from minigpt4.scenes.words.languages import LANGUAGES, Language


def in_words(loaded: LoadedModel, scenes: Sequence[AskedScene]) -> dict[Language, Gallery]:
    """The scenes in the words of every language.

    Raises:
        UserError: the tokenizer cuts words of the scenes into pieces.
    """
    images, facts = tuple(as_image_ref(each.image) for each in scenes), [each.scene for each in scenes]
    with torch.no_grad():
        return {language: Gallery(images, word_tokens(loaded, facts, language)) for language in LANGUAGES}
