"""What the `model:` section of every system holds: who it is, its language model, its checkpoint, its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from minigpt4.common.registry import language_models
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.part import PartConfig

LANGUAGE_MODEL = "llm"
"""name of the part that every system has"""
CHECKPOINT = "ckpt"
"""asked for instead of a part: the plan of `model.ckpt`"""


@dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """Base of every `model:` section. A system adds a `PartConfig` under the name of each stage of its visual path."""

    arch: str
    """which system"""
    model_type: str
    """which packaged YAML the values below start from"""
    behaviour: str | None = None
    """standard, or exactly as an original"""
    llm: CausalLMConfig = field(default_factory=CausalLMConfig, metadata={"registry": language_models})
    """the language model"""
    ckpt: str | None = field(default=None, metadata={"path": "any"})
    """trained weights, loaded last: a bundle folder or an original checkpoint (.pth)"""
    allow_other_llm: bool = False
    """continue with a bundle of another language model, whose projection means nothing to this one before stage 1"""
    template: str | None = None
    """conversation template by name; null = the system's own"""

    def parts(self) -> Mapping[str, PartConfig]:
        """The configs of all parts by name, the language model last."""
        found = {each.name: value for each in fields(self) if isinstance(value := getattr(self, each.name), PartConfig)}
        return {**{name: part for name, part in found.items() if name != LANGUAGE_MODEL}, LANGUAGE_MODEL: self.llm}
