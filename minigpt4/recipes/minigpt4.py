"""MiniGPT-4: its config, parts, templates, conversion plans and original keys."""

from __future__ import annotations

from minigpt4.common.registry import recipes
from minigpt4.recipes.minigpt4_config import (
    BEHAVIOURS_OF_ORIGINALS,
    DEFAULT_YAML,
    ORIGINAL_KEYS,
    RETIRED_MODEL_KEYS,
    MiniGPT4Config,
)


class MiniGPT4:
    """The recipe: what the config engine and `recipes.build` ask of a system."""

    Config = MiniGPT4Config
    default_yaml = DEFAULT_YAML
    original_keys = ORIGINAL_KEYS
    retired_keys = RETIRED_MODEL_KEYS

    @staticmethod
    def behaviour_of(arch: str, model_type: str) -> str:
        """What a YAML means that does not say: an original's behaviour by its own arch and model_type."""
        return BEHAVIOURS_OF_ORIGINALS.get((arch, model_type), "standard")


recipes.add("minigpt4", MiniGPT4)
recipes.add("mini_gpt4", MiniGPT4)
