"""A language model alone: no visual path, no pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minigpt4.common.registry import systems
from minigpt4.conversation.chat_template import named_template
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.systems.config import SystemConfig
from minigpt4.systems.contract import System


@dataclass(frozen=True, kw_only=True)
class TextOnlyConfig(SystemConfig):
    """The `model:` section."""

    arch: str = "text_only"
    """which system"""
    model_type: str = "small"
    """which default YAML"""


@systems.register("text_only")
class TextOnly(System[TextOnlyConfig]):
    """What a student trains first."""

    Config = TextOnlyConfig
    default_yaml: Mapping[str, str] = {"small": "text_only.yaml"}

    @staticmethod
    def pixels(config: TextOnlyConfig) -> None:
        return None

    @staticmethod
    def visual_path(config: TextOnlyConfig, llm_width: int) -> None:
        return None

    @staticmethod
    def wording(config: TextOnlyConfig, tokenizer: Tokenizer) -> Wording:
        template = named_template(config.template or "chatml", tokenizer)
        return Wording(training=template, chat=template, rule=LabelRule(max_positions=48))
