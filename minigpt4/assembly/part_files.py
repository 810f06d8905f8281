"""The files that a model's parts come from, and how each is read.

They are loaded, or compared with an empty model: the import of checkpoints and `weights verify` of a bundle want
to know who the parts are without weights of 7B in memory.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from minigpt4.assembly.language_model import make_language_model
from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.models.freezing import freeze
from minigpt4.models.language_models.causal_lm import CausalLM, CausalLMConfig
from minigpt4.systems.config import CHECKPOINT, LANGUAGE_MODEL, SystemConfig
from minigpt4.systems.contract import System
from minigpt4.weights.bundles.parts import own_plan
from minigpt4.weights.files.sources import Sources
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.language_model import language_model_plan
from minigpt4.weights.plans.loading import PartOrigin, fingerprint_file, load_file
from minigpt4.weights.plans.plan import ConversionPlan, PlanOf

WIDTH_OF_NONE = 8
"""stands for the width of a language model that is absent; only connectors have it"""


@dataclass(frozen=True)
class PartFile:
    """An opened file, and how it is read into parts of a model."""

    file: TensorFile
    plan: PlanOf

    def load(self, parts: Mapping[str, nn.Module]) -> tuple[dict[str, PartOrigin], list[str]]:
        """Fill those of the parts that the file is for; origins and lines of the report."""
        return load_file(self.plan, self.file, parts)

    def fingerprints(self, parts: Mapping[str, nn.Module]) -> dict[str, PartOrigin]:
        """The fingerprint of each part by this file; reads every tensor and keeps none."""
        return fingerprint_file(self.plan, self.file, parts)


def empty_language_model(config: CausalLMConfig, tokenizer: Tokenizer, sources: Sources
                         ) -> tuple[CausalLM, PartFile]:
    """The frozen language model of a folder without its weights, and its file.

    Raises:
        UserError: no folder is given, it has no model, or one of too few rows for the tokenizer.
    """
    if config.weights is None:
        raise UserError("config.missing", where="model.llm.weights", what="is not given",
                        fix="set it to the folder of the language model")
    llm = make_language_model(config, tokenizer, None, sources)
    freeze(llm)
    return llm, PartFile(sources.weights(config.weights), language_model_plan(llm.model))


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
    for name, part in config.parts().items():
        if part.weights is not None and name != LANGUAGE_MODEL and name not in leave_out:
            yield PartFile(sources.weights(part.weights), partial(_plan_of_part, system, config, name))


def checkpoint_file(system: System[SystemConfig], config: SystemConfig, path: str | Path, sources: Sources) -> PartFile:
    """A checkpoint of an original, as `model.ckpt` gives it."""
    return PartFile(sources.weights(path), partial(system.plan, CHECKPOINT, config))


def _plan_of_part(system: System[SystemConfig], config: SystemConfig, name: str, file: TensorFile) -> ConversionPlan:
    """A file in our names is read so for every system."""
    return own_plan(name, file) or system.plan(name, config, file)
