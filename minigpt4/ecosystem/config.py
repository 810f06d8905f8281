"""config.json of one of our models in transformers' layout.

Two halves: `recipe` is the `model:` section as our YAMLs have it (kinds and sizes of vision, resampler and connector,
template, behaviour), without places on a disk; `text_config` is the language model's own config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from minigpt4.common.config.load import section_from
from minigpt4.common.config.write import plain
from minigpt4.models.language_models.causal_lm import transformers_config
from minigpt4.systems.config import SystemConfig

PLACES = ("weights", "tokenizer", "ckpt", "prompt_path")
"""keys that name files of one machine"""


class MiniGPT4Config(PreTrainedConfig):
    """What `MiniGPT4ForConditionalGeneration` is built from.

    Args:
        recipe: plain values of a `model:` section (`portable_recipe`).
        text_config: config of the language model, or its values.
        image_token_id: placeholder in `input_ids` for each of an image's tokens.
    """

    model_type = "minigpt4"
    sub_configs = {"text_config": AutoConfig}

    def __init__(self, recipe: Mapping[str, Any] | None = None, text_config: Any = None, image_token_id: int = 0,
                 **kwargs: Any) -> None:
        self.recipe = dict(recipe or {})
        given = isinstance(text_config, PreTrainedConfig)
        self.text_config = text_config if given else transformers_config(text_config or {})
        self.image_token_id = image_token_id
        kwargs["tie_word_embeddings"] = bool(self.text_config.tie_word_embeddings)
        super().__init__(**kwargs)

    def section(self) -> Any:
        """The `model:` section as the recipe's own typed config.

        Raises:
            UserError: keys that this version of the package does not know.
        """
        return section_from(self.recipe)


def portable_recipe(section: SystemConfig) -> dict[str, Any]:
    """A `model:` section as plain values, without places; of the language model `text_config` says everything."""
    values = _without_places(plain(section))
    values["llm"] = {"name": section.llm.name, "freeze": section.llm.freeze}
    return values


def _without_places(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if key in PLACES else _without_places(value) if isinstance(value, Mapping) else value
            for key, value in values.items()}
