"""An oracle folder of MiniGPT-4 as tests use it: sizes, cases and files are read from the folder, never assumed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.resamplers.merge_neighbours import MergeNeighboursConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.systems.minigpt4.config import MiniGPT4Config
from tests.conftest import ORACLES

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A recorded case: JSON values and tensors."""

    name: str
    values: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    @property
    def april(self) -> bool:
        return self.name.endswith("_april")


def folder() -> Path:
    return ORACLES / "minigpt4"


def held_cases(prefix: str, *, tensor: str | None = None) -> list[str]:
    """Cases of the folder whose name starts so, and that hold a tensor. A folder without any case fails."""
    every = sorted(path.stem for path in (folder() / "cases").glob("*.json"))
    assert every, f"{folder()} has no case"
    return [name for name in every if name.startswith(prefix) and (tensor is None or _holds(name, tensor))]


def case_names(prefix: str, *, tensor: str | None = None) -> list[str]:
    """The same; where there is none, the prefix itself, so that `read_case` reports it as absent."""
    return held_cases(prefix, tensor=tensor) or [prefix]


def read_case(name: str) -> Case:
    """A recorded case; one that this folder lacks is reported as absent."""
    if not (folder() / "cases" / f"{name}.json").exists():
        pytest.skip(f"{folder()} does not contain the case {name}")
    base = folder() / "cases" / name
    tensors = load_file(f"{base}.safetensors") if Path(f"{base}.safetensors").exists() else {}
    return Case(name, json.loads(base.with_suffix(".json").read_text(encoding="utf-8")), tensors)


def _holds(name: str, tensor: str) -> bool:
    path = folder() / "cases" / f"{name}.safetensors"
    if not path.exists():
        return False
    with safe_open(path, "pt") as file:
        return tensor in file.keys()  # noqa: SIM118 (no mapping)


@cache
def sizes() -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers of the tiny EVA-ViT and Q-Former."""
    files = [folder() / "parts" / f"{name}_config.json" for name in ("eva_vit", "qformer")]
    eva, bert = (json.loads(file.read_text()) for file in files)
    return eva, bert


def config(*, q_former: bool = True, april: bool = False, image_size: int | None = None, train: bool = False,
           **values: Any) -> MiniGPT4Config:
    """The `model:` section that builds the recorded model; `train` unfreezes ViT and Q-Former."""
    parts = folder() / "parts"
    eva, bert = sizes()
    vision = EvaVitConfig(
        weights=str(parts / "eva_vit_tiny.pth"), image_size=image_size or eva["img_size"], patch_size=eva["patch_size"],
        hidden_size=eva["embed_dim"], num_hidden_layers=eva["depth"], num_attention_heads=eva["num_heads"],
        intermediate_size=eva["mlp_hidden"], freeze=not train,
    )
    resampler = QFormerConfig(
        weights=str(parts / "blip2_pretrained_tiny.pth"), num_query_tokens=bert["query_length"],
        hidden_size=bert["hidden_size"], num_hidden_layers=bert["num_hidden_layers"],
        num_attention_heads=bert["num_attention_heads"], intermediate_size=bert["intermediate_size"],
        cross_attention_frequency=bert["cross_attention_freq"], hidden_act=bert["hidden_act"],
        dropout=bert["hidden_dropout_prob"], freeze=not train,
    ) if q_former else MergeNeighboursConfig()
    llm, projection = ("llm", "minigpt4_tiny.pth") if q_former else ("llm_llama2", "minigpt4_llama2_tiny.pth")
    behaviour = "original_april2023" if april else "original_newest"
    values = {"behaviour": behaviour, "ckpt": str(parts / projection), **values}
    return MiniGPT4Config(
        model_type="pretrain_vicuna0" if q_former else "pretrain_llama2", vision=vision, resampler=resampler,
        llm=CausalLMConfig(weights=str(parts / llm)), **values,
    )


def model(**values: Any) -> LoadedModel:
    return build_model(config(**values), device=CPU)


def is_q_former(case: Case) -> bool:
    """Which variant a case was recorded with: the width that goes into its projection tells."""
    weight = case.tensors.get("grad.llama_proj.weight")
    if weight is not None:
        return weight.shape[1] == sizes()[1]["hidden_size"]
    return "llama2" not in case.name and "noqformer" not in case.name


def pixels(images: list[str]) -> torch.Tensor:
    """Recorded pixels [N, 3, S, S] of named images."""
    recorded = read_case("pixels_eval").tensors
    return torch.stack([recorded[name] for name in images])
