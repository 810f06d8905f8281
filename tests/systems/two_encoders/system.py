"""The system: config, path, pixels, words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minigpt4.common.registry import systems
from minigpt4.conversation.chat_template import named_template
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.models.vision.conv_net import ConvNet, ConvNetConfig
from minigpt4.models.visual_path import Stage, VisualPath
from minigpt4.records.batches import PIXELS
from minigpt4.records.images import Fit, ImageSpec
from minigpt4.systems.config import SystemConfig
from minigpt4.systems.contract import System
from tests.systems.two_encoders.parts import NUM_STATES, Fusion, FusionConfig, States, StatesConfig


@dataclass(frozen=True, kw_only=True)
class TwoEncodersConfig(SystemConfig):
    """The `model:` section."""

    arch: str = "two_encoders"
    """which system"""
    model_type: str = "small"
    """which default YAML"""
    first: StatesConfig = field(default_factory=StatesConfig)
    """five hidden states"""
    second: ConvNetConfig = field(default_factory=ConvNetConfig)
    """as many tokens of the same image"""
    fusion: FusionConfig = field(default_factory=FusionConfig)
    """from both to the language model"""
    fit: Fit = "pad"
    """how an image becomes square"""


@systems.register("two_encoders")
class TwoEncoders(System[TwoEncodersConfig]):
    """A visual path that forks and merges."""

    Config = TwoEncodersConfig
    default_yaml: Mapping[str, str] = {"small": "two_encoders.yaml"}

    @staticmethod
    def pixels(config: TwoEncodersConfig) -> ImageSpec:
        return ImageSpec(size=config.first.image_size, fit=config.fit)

    @staticmethod
    def visual_path(config: TwoEncodersConfig, llm_width: int) -> VisualPath:
        first, second = States(config.first), ConvNet(config.second)
        fusion = Fusion(config.fusion, first.out_width, second.out_width, first.out_tokens, llm_width)
        states = tuple(f"state_{number}" for number in range(NUM_STATES))
        return VisualPath({
            "first": Stage(first, (PIXELS,), states),
            "second": Stage(second, (PIXELS,)),
            "fusion": Stage(fusion, (*states, "second") if config.fusion.reads_second else states),
        })

    @staticmethod
    def wording(config: TwoEncodersConfig, tokenizer: Tokenizer) -> Wording:
        template = named_template(config.template or "vicuna_v1", tokenizer)
        return Wording(training=template, chat=template, rule=LabelRule(max_answer_tokens=24))
