"""MiniGPT-4: its config, parts, templates, conversion plans and original keys."""

from __future__ import annotations

from collections.abc import Mapping

from minigpt4.common.errors import UserError
from minigpt4.common.registry import connectors, resamplers, systems, vision_encoders
from minigpt4.models.part import PartConfig
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.models.visual_path import VisualPath
from minigpt4.records.images import ImageSpec
from minigpt4.systems.minigpt4 import plans as plans
from minigpt4.systems.minigpt4.config import (
    BEHAVIOURS_OF_ORIGINALS,
    DEFAULT_YAML,
    ORIGINAL_KEYS,
    RETIRED_MODEL_KEYS,
    MiniGPT4Config,
)
from minigpt4.systems.minigpt4.wording import behaviour_of, wording_of
from minigpt4.weights.plans.plan import ConversionPlan


class MiniGPT4:
    """The system (contract: `systems/contract.py`)."""

    Config = MiniGPT4Config
    default_yaml = DEFAULT_YAML
    original_keys = ORIGINAL_KEYS
    retired_keys = RETIRED_MODEL_KEYS
    checkpoint_plan = plans.CHECKPOINT_PLAN
    wording = staticmethod(wording_of)
    behaviour = staticmethod(behaviour_of)

    @staticmethod
    def behaviour_of(arch: str, model_type: str) -> str:
        """What a YAML means that does not say: an original's behaviour by its own arch and model_type."""
        return BEHAVIOURS_OF_ORIGINALS.get((arch, model_type), "standard")

    @staticmethod
    def pixels(config: MiniGPT4Config) -> ImageSpec:
        """Squashed to the size of the vision encoder, in CLIP's colours."""
        return ImageSpec(size=config.vision.image_size, opening=behaviour_of(config).opening)

    @staticmethod
    def visual_path(config: MiniGPT4Config, llm_width: int) -> VisualPath:
        """Vision encoder, resampler, connector."""
        vision = vision_encoders.get(config.vision.name)(config.vision)
        resampler = resamplers.get(config.resampler.name)(config.resampler, vision.out_width, vision.out_tokens)
        connector = connectors.get(config.connector.name)(
            config.connector, resampler.out_width, resampler.out_tokens, llm_width
        )
        return VisualPath.chain({"vision": vision, "resampler": resampler, "connector": connector})

    @staticmethod
    def file_plans(config: MiniGPT4Config) -> Mapping[str, ConversionPlan]:
        """The plan of each part's own file, where the part is one of the originals'."""
        found = {"connector": plans.PROJECTION_PLAN}
        if isinstance(config.vision, EvaVitConfig):
            found["vision"] = plans.eva_vit_plan(config.vision.num_hidden_layers)
        if config.resampler.name == "q_former":
            found["resampler"] = plans.BLIP2_PLAN
        for name in ("vision", "resampler"):
            part: PartConfig = getattr(config, name)
            if part.weights is not None and name not in found:
                raise UserError("config.value", where=f"model.{name}.weights", what=f"'{part.name}' has no file format",
                                fix="leave it null, or give a bundle as model.ckpt")
        return found


systems.add("minigpt4", MiniGPT4)
systems.add("mini_gpt4", MiniGPT4)
