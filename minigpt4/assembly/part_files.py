"""The files that a model's parts come from, and how each is read.

They are loaded, or held against a model that is empty: the import of checkpoints and `weights verify` of a bundle want
to know who the parts are without weights of 7B in memory.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from minigpt4.assembly.language_model import make_language_model
from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.models.freezing import freeze
from minigpt4.models.language_models.causal_lm import CausalLM, CausalLMConfig
from minigpt4.systems.config import SystemConfig
from minigpt4.systems.contract import System
from minigpt4.weights.bundles.parts import own_plan
from minigpt4.weights.files.sources import Sources
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.language_model import language_model_plan
from minigpt4.weights.plans.loading import PartOrigin, identify_file, load_file
from minigpt4.weights.plans.plan import ConversionPlan, PlanOf

WIDTH_OF_NONE = 8
"""stands for the width of a language model that is not there; only connectors have it"""


@dataclass(frozen=True)
class PartFile:
    """An opened file, how it is read, and the names of the parts it fills."""

    file: TensorFile
    plan: PlanOf | ConversionPlan
    parts: tuple[str, ...]

    def load(self, parts: Mapping[str, nn.Module]) -> tuple[dict[str, PartOrigin], list[str]]:
        """Fill the parts; origins and lines of the report."""
        return load_file(self.plan, self.file, {name: parts[name] for name in self.parts})

    def identify(self, parts: Mapping[str, nn.Module]) -> dict[str, PartOrigin]:
        """The identity of each part by this file; reads every tensor and keeps none."""
        return identify_file(self.plan, self.file, {name: parts[name] for name in self.parts})


def empty_language_model(config: CausalLMConfig, tokenizer: Tokenizer, sources: Sources
                         ) -> tuple[CausalLM, PartFile]:
    """The frozen language model of a folder without its weights, and its file.

    Raises:
        UserError: no folder is given, it holds no model, or one of too few rows for the tokenizer.
    """
    if config.weights is None:
        raise UserError("config.missing", where="model.llm.weights", what="is not given",
                        fix="set it to the folder of the language model")
    llm = make_language_model(config, tokenizer, None, sources)
    freeze(llm)
    return llm, PartFile(sources.weights(config.weights), language_model_plan(llm.model), ("llm",))


def empty_visual_parts(system: System[SystemConfig], config: SystemConfig, llm_width: int = WIDTH_OF_NONE
                       ) -> dict[str, nn.Module]:
    """The stages of the visual path by name, without weights (meta device)."""
    with torch.device("meta"):
        path = system.visual_path(config, llm_width)
    return {} if path is None else dict(path.stages.items())


def visual_files(system: System[SystemConfig], config: SystemConfig, sources: Sources, *, leave_out: Container[str] = ()
                 ) -> Iterator[PartFile]:
    """The files that the config gives to the visual parts.

    An original's, which may fill several parts (the BLIP-2 file: vision's last norm, too), or one in our names.

    Args:
        system: of the config.
        config: the `model:` section.
        sources: opens the files.
        leave_out: names of parts whose files are not opened.

    Raises:
        UserError: one cannot be opened, or is of a part that has no file format.
    """
    for name, plan in system.file_plans(config).items():
        place = getattr(config, name).weights
        if place is None or name in leave_out:
            continue
        file = sources.weights(place)
        plan = own_plan(name, file) or plan
        yield PartFile(file, plan, tuple({rule.target.partition(".")[0]: None for rule in plan.rules}))
