"""What a system says about itself: the contract that the config engine and `assembly.build` rely on.

A system is a class in the registry `systems`, found by `model.arch`. A new system writes one, or takes MiniGPT-4's and
changes what is different (docs/adding.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from transformers import PretrainedConfig

from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.conversation.wording import Wording
from minigpt4.models.visual_path import VisualPath
from minigpt4.records.images import ImageSpec
from minigpt4.systems.behaviour import Behaviour
from minigpt4.systems.config import SystemConfig
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.plan import ConversionPlan

LANGUAGE_MODEL_PREFIX = "llm.model."


@dataclass(frozen=True, kw_only=True)
class ForeignForm:
    """A whole model as another project's folder holds it.

    Args:
        names: beginning of our tensors' names (`part.key`) -> theirs; `llm.model.` is the language model.
        section: folder, name of a template -> `model:` section. Raises `UserError` for what the parts cannot be.
        language_model: folder -> config of its language model.
        remarks: folder -> lines that say what differs.
    """

    names: Mapping[str, str]
    section: Callable[[Path, str], SystemConfig]
    language_model: Callable[[Path], PretrainedConfig]
    remarks: Callable[[Path], list[str]]


ConfigT = TypeVar("ConfigT", bound=SystemConfig, contravariant=True)


class System(Protocol[ConfigT]):
    """One system. `config` is an instance of its `Config`, the `model:` section.

    `Config` has a part (`PartConfig`) under the name of each stage of the visual path, and one called `llm`. What has a
    value here suits a system without an original.
    """

    Config: type[SystemConfig]
    default_yaml: Mapping[str, str]
    """model_type -> default YAML, beside the system's file or below `configs/` of its package"""
    original_keys: Mapping[str, tuple[str, Mapping[object, object] | None]] = {}
    """flat key of an original -> (dotted key today, translation of its values)"""
    retired_keys: Mapping[str, str] = {}
    """key that has no effect any more -> why"""
    checkpoint_plan: ConversionPlan = ConversionPlan("checkpoint", ())
    """the form of the original's checkpoints, which `weights export` writes"""
    forms: Mapping[str, ForeignForm] = {}
    """whole models in other projects' folders, by name ('blip2')"""

    @staticmethod
    def behaviour_of(arch: str, model_type: str) -> str:
        """`model.behaviour` of a YAML that does not say one."""
        return "standard"

    @staticmethod
    def behaviour(config: ConfigT) -> Behaviour:
        """What `model.behaviour` means, as data."""
        return Behaviour()

    @staticmethod
    def pixels(config: ConfigT) -> ImageSpec | None:
        """From an image to pixels, the same in training, chat and evaluation; None for a text-only model."""

    @staticmethod
    def visual_path(config: ConfigT, llm_width: int) -> VisualPath | None:
        """From pixels to tokens of the language model, with random weights; None for a text-only model."""

    @staticmethod
    def plan(part: str, config: ConfigT, file: TensorFile) -> ConversionPlan:
        """How a file is read that is given to a part, or (`ckpt`) as `model.ckpt`.

        Chosen by the file's keys and shapes, never by its name. Raises `UserError` for a layout that it does not know.
        """
        raise UserError("config.value", where=f"model.{part}", what=f"is {file.path}, and {config.arch} knows no such "
                        "file", fix="leave it null, or give a bundle")

    @staticmethod
    def wording(config: ConfigT, tokenizer: Tokenizer) -> Wording:
        """Templates of training and chat, prompts, what is learned."""
