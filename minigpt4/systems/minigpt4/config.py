"""The `model:` section of MiniGPT-4, and what its original flat keys mean today.

Source: docs/originals/minigpt4.md#model-keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minigpt4.common.config.ranges import PositiveInt
from minigpt4.common.errors import UserError
from minigpt4.common.registry import connectors, resamplers, vision_encoders
from minigpt4.models.connectors.linear import LinearConnectorConfig
from minigpt4.models.part import PartConfig, VisionConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.records.images import Method
from minigpt4.systems.config import SystemConfig

BehaviourName = Literal["standard", "original_april2023", "original_aug2023", "original_newest"]


@dataclass(frozen=True, kw_only=True)
class MiniGPT4Config(SystemConfig):
    """Frozen vision encoder and Q-Former, one linear layer, frozen language model."""

    arch: str = "minigpt4"
    """which system"""
    model_type: str = "pretrain_vicuna0"
    """which packaged YAML the values below start from"""
    behaviour: BehaviourName | None = None
    """standard, or exactly as an original: original_april2023, original_aug2023, original_newest"""

    vision: VisionConfig = field(default_factory=EvaVitConfig, metadata={"registry": vision_encoders})
    """the encoder: pixels to tokens"""
    resampler: PartConfig = field(default_factory=QFormerConfig, metadata={"registry": resamplers})
    """what makes few tokens of many: q_former or merge_neighbours"""
    connector: PartConfig = field(default_factory=LinearConnectorConfig, metadata={"registry": connectors})
    """from image tokens to the width of the language model"""

    image_method: Method = "pillow"
    """how images are decoded and resized: pillow, fast (within 2 levels of 255), fast_drafts (large JPEGs in part)"""

    template: str | None = None
    """conversation template by name (vicuna_v0, vicuna_v1, llama2, plain); null = from prompt_template"""
    prompt_path: str | None = field(default=None, metadata={"path": "file"})
    """text file of prompts, one a line with <ImageHere>; drawn where a sample asks nothing"""
    prompt_template: str | None = None
    """original key: text around a prompt, with {} in its place"""
    max_txt_len: PositiveInt = 32
    """tokens of an answer that are trained, end symbol included"""
    end_sym: str = "\n"
    """original key: text that ends an answer; a named template brings its own"""

    def __post_init__(self) -> None:
        if self.max_txt_len < 1:
            raise UserError(
                "config.value", where="model.max_txt_len", what=f"is {self.max_txt_len}", fix="use 1 or more"
            )
        if self.prompt_template and "{}" not in self.prompt_template:
            raise UserError(
                "config.value", where="model.prompt_template", what=f"'{self.prompt_template}' has no {{}}",
                fix="put {} if the prompt belongs",
            )


ORIGINAL_KEYS: Mapping[str, tuple[str, Mapping[Any, Any] | None]] = {
    "vit_model": ("vision.name", {"eva_clip_g": "eva_vit"}),
    "image_size": ("vision.image_size", None),
    "img_size": ("vision.image_size", None),
    "drop_path_rate": ("vision.drop_path_rate", None),
    "use_grad_checkpoint": ("vision.activation_checkpointing", None),
    "vit_precision": ("vision.dtype", None),
    "freeze_vit": ("vision.freeze", None),
    "has_qformer": ("resampler.name", {True: "q_former", False: "merge_neighbours"}),
    "q_former_model": ("resampler.weights", None),
    "num_query_token": ("resampler.num_query_tokens", None),
    "freeze_qformer": ("resampler.freeze", None),
    "llama_model": ("llm.weights", None),
    "low_resource": ("llm.quantize", {True: "int8", False: None}),
    "lora_r": ("llm.lora.r", None),
    "lora_alpha": ("llm.lora.alpha", None),
    "lora_target_modules": ("llm.lora.target_modules", None),
    "lora_dropout": ("llm.lora.dropout", None),
}
"""original flat key -> (key today, translation of its values or None)"""

RETIRED_MODEL_KEYS: Mapping[str, str] = {
    "prompt": "it was never read by the original",
    "device_8bit": "the whole model goes to run.device, --device or --gpu-id",
}
"""original keys that are accepted with one sentence and have no effect"""

BEHAVIOURS_OF_ORIGINALS: Mapping[tuple[str, str], BehaviourName] = {
    ("mini_gpt4", "pretrain_vicuna"): "original_april2023",
    ("mini_gpt4", "pretrain_vicuna0"): "original_aug2023",
    ("mini_gpt4", "pretrain_llama2"): "original_aug2023",
    ("minigpt4", "pretrain_vicuna0"): "original_newest",
    ("minigpt4", "pretrain_llama2"): "original_newest",
}
"""what a YAML without `behaviour` means, by (arch, model_type)"""

DEFAULT_YAML: Mapping[str, str] = {
    "pretrain_vicuna": "models/minigpt4_vicuna0.yaml",
    "pretrain_vicuna0": "models/minigpt4_vicuna0.yaml",
    "pretrain_llama2": "models/minigpt4_llama2.yaml",
    "custom": "models/minigpt4_custom.yaml",
    "scenes": "models/minigpt4_scenes.yaml",
}
"""model_type -> packaged YAML below minigpt4/configs; `custom` sets no path and no size"""
