"""What the embedded default knows, in one sentence: so that nobody tries a photograph first."""

from __future__ import annotations

from collections.abc import Mapping

from minigpt4.systems.config import SystemConfig

MODEL_TYPE = "scenes"
"""`model.model_type` of the embedded default"""

ABOUT: Mapping[str, str] = {
    "en": "The embedded default knows drawn scenes only: 16 kinds of things in 8 colours, in English and Chinese. "
          "It has never seen a photograph.",
    "zh": "内置示例只认识绘制的场景：16 种东西，8 种颜色，能用中文和英文回答。它没有见过照片。",
}


def about(config: SystemConfig) -> Mapping[str, str]:
    """The sentence by language code; empty for a model of other parts."""
    return ABOUT if config.model_type == MODEL_TYPE else {}
