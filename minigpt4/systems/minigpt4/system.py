"""MiniGPT-4: its config, parts, templates, conversion plans and original keys."""

from __future__ import annotations

from minigpt4.common.errors import UserError
from minigpt4.common.registry import connectors, resamplers, systems, vision_encoders
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.models.visual_path import VisualPath
from minigpt4.records.images import ImageSpec
from minigpt4.systems.config import CHECKPOINT
from minigpt4.systems.minigpt4 import plans as plans
from minigpt4.systems.minigpt4.blip2 import BLIP2
from minigpt4.systems.minigpt4.config import (
    BEHAVIOURS_OF_ORIGINALS,
    DEFAULT_YAML,
    ORIGINAL_KEYS,
    RETIRED_MODEL_KEYS,
    MiniGPT4Config,
)
from minigpt4.systems.minigpt4.wording import behaviour_of, wording_of
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.plan import ConversionPlan


class MiniGPT4:
    """The system (contract: `systems/contract.py`)."""

    Config = MiniGPT4Config
    default_yaml = DEFAULT_YAML
    original_keys = ORIGINAL_KEYS
    retired_keys = RETIRED_MODEL_KEYS
    checkpoint_plan = plans.CHECKPOINT_PLAN
    forms = {"blip2": BLIP2}
    wording = staticmethod(wording_of)
    behaviour = staticmethod(behaviour_of)

    @staticmethod
    def behaviour_of(arch: str, model_type: str) -> str:
        """What a YAML means that does not say: an original's behaviour by its own arch and model_type."""
        return BEHAVIOURS_OF_ORIGINALS.get((arch, model_type), "standard")

    @staticmethod
    def pixels(config: MiniGPT4Config) -> ImageSpec:
        """Squashed to the size of the vision encoder, in CLIP's colours."""
        behaviour = behaviour_of(config)
        if behaviour.opening == "original" and config.image_method != "pillow":
            raise UserError("config.value", where="model.image_method", what=f"is {config.image_method}, and "
                            f"{behaviour.name} opens images by Pillow", fix="use pillow, or behaviour: standard")
        return ImageSpec(size=config.vision.image_size, opening=behaviour.opening, method=config.image_method)

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
    def plan(part: str, config: MiniGPT4Config, file: TensorFile) -> ConversionPlan:
        """The originals' files: one layout each, for the parts that are the originals'."""
        if part == CHECKPOINT:
            return plans.CHECKPOINT_PLAN
        if part == "connector":
            return plans.PROJECTION_PLAN
        if part == "vision" and isinstance(config.vision, EvaVitConfig):
            return plans.eva_vit_plan(config.vision.num_hidden_layers)
        if part == "resampler" and config.resampler.name == "q_former":
            return plans.BLIP2_PLAN
        raise UserError("config.value", where=f"model.{part}.weights", fix="leave it null, or give a bundle",
                        what=f"is {file.path}, but no file of an original has a '{config.parts()[part].name}'")


systems.add("minigpt4", MiniGPT4)
systems.add("mini_gpt4", MiniGPT4)
