"""Captions during validation, with the weights of the moment."""

from __future__ import annotations

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.captioning import Captioner
from minigpt4.tasks.image_text_pretrain import Describe

VALIDATION_TOKENS = 60
"""a caption during validation is for a look, not for a score"""


def describes_now(loaded: LoadedModel) -> Describe:
    """What images show; a `Captioner` remembers image tokens, so each call has its own."""
    settings = DecodingSettings(max_new_tokens=VALIDATION_TOKENS)
    return lambda images: [said.caption or said.error for said in Captioner(loaded, settings).describe(images)]
