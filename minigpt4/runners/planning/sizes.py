"""The sizes of a model, part by part: it is built on the meta device, where tensors have shapes and no memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig

from minigpt4.common.config.paths import find_path
from minigpt4.common.errors import UserError, nearest
from minigpt4.common.registry import systems
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.models.language_models.causal_lm import CausalLM, transformers_config
from minigpt4.models.language_models.quantized import Quantization, fits
from minigpt4.models.lora import adapted_layers
from minigpt4.models.part import PartConfig
from minigpt4.systems.config import SystemConfig
from minigpt4.weights.files.readers import read_json

_LLAMA = {"model_type": "llama", "max_position_embeddings": 2048, "vocab_size": 32000}
_7B = {**_LLAMA, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
_13B = {**_LLAMA, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40}
KNOWN_LLMS: Mapping[str, Mapping[str, Any]] = {
    "vicuna-7b": {**_7B, "vocab_size": 32001}, "vicuna-13b": {**_13B, "vocab_size": 32001},
    "llama-2-7b-chat": {**_7B, "max_position_embeddings": 4096},
    "llama-2-13b-chat": {**_13B, "max_position_embeddings": 4096},
}
"""sizes by name, for planning before a download (docs/originals/minigpt4.md#files)"""

QUANTIZED_BYTES: Mapping[Quantization, float] = {"int8": 1.0, "nf4": 0.516}
"""bytes of a quantised weight; nf4: half a byte, and a scale of 8 bits for 64 weights (QLoRA, arXiv 2305.14314)"""
DEFAULT_VOCABULARY = 32000


@dataclass(frozen=True)
class PartSize:
    """One part: its parameters, how they are kept, whether they train."""

    name: str
    parameters: int
    trains: bool
    bytes: float
    width: int
    tokens: int
    """positions it works on for one image; 0 for the language model"""
    layers: int = 0
    inner: int = 0
    """width inside its MLPs"""
    adapters: int = 0
    """parameters of its LoRA adapters, in fp32"""
    adapter_inputs: int = 0
    """numbers a position that the adapters of all layers keep for the backward pass"""


@dataclass(frozen=True)
class ModelSize:
    """All parts, and what of the language model matters for memory."""

    parts: tuple[PartSize, ...]
    llm: PreTrainedConfig
    image_tokens: int

    def part(self, name: str) -> PartSize:
        return next(part for part in self.parts if part.name == name)

    @property
    def weights(self) -> float:
        return sum(part.bytes + 4 * part.adapters for part in self.parts)

    @property
    def trained(self) -> int:
        return sum(part.parameters * part.trains + part.adapters for part in self.parts)


def size_of(config: SystemConfig, *, half: bool, llm: str | None = None, quantize: Quantization | None = None,
            folder: Path | None = None) -> ModelSize:
    """The sizes of a `model:` section.

    Args:
        config: the section; its files need not be there.
        half: frozen parts are kept in 16 bit, as on a GPU.
        llm: name in `KNOWN_LLMS` instead of the config's language model.
        quantize: int8 or nf4 instead of the config's own.
        folder: the YAML's folder, the second place to look for its files.

    Raises:
        UserError: nothing says how large the language model is.
    """
    values = _llm_values(config, llm, folder)
    language_model = CausalLM(transformers_config(values), empty=True)
    with torch.device("meta"):
        path = systems.get(config.arch, where="model.arch").visual_path(config, language_model.width)
    parts, tokens = [], 0
    for name, stage in path.stages.items():
        own = getattr(config, name)
        parts.append(_visual_part(name, stage, own, max(tokens, stage.out_tokens), half))
        tokens = stage.out_tokens
    bits = quantize if quantize is not None else config.llm.quantize
    parts.append(_llm_part(language_model, config.llm, half, bits))
    return ModelSize(tuple(parts), language_model.model.config, path.tokens_per_image)


def bytes_each(config: PartConfig, *, half: bool) -> int:
    """Bytes of a parameter of a part: what trains stays in fp32, and fp16 is not used on CPUs."""
    if not config.freeze or config.dtype == "fp32" or (config.dtype in ("auto", "fp16") and not half):
        return 4
    return 2


def _llm_values(config: SystemConfig, llm: str | None, folder: Path | None) -> Mapping[str, Any]:
    if llm is not None:
        if llm not in KNOWN_LLMS:
            raise UserError("plan.llm", where="--llm", what=f"is '{llm}'", fix=nearest(llm, KNOWN_LLMS))
        return KNOWN_LLMS[llm]
    weights = Path(find_path(config.llm.weights, "folder", folder)[0]) if config.llm.weights else None
    if weights is not None and (weights / "config.json").is_file():
        values: Mapping[str, Any] = read_json(weights / "config.json")
        return values
    if config.llm.random:
        return {"vocab_size": _vocabulary(config, folder), **config.llm.random}
    raise UserError("plan.llm", where="model.llm", what=f"its size is not known ({config.llm.weights} is not here)",
                    fix=f"name it: --llm {' | '.join(KNOWN_LLMS)}")


def _vocabulary(config: SystemConfig, folder: Path | None) -> int:
    """Number of pieces of the tokenizer, if its files are here."""
    place, fault = find_path(config.llm.tokenizer or "", "folder", folder)
    if fault or not config.llm.tokenizer:
        return DEFAULT_VOCABULARY
    return open_tokenizer(Path(place)).vocab_size


def _visual_part(name: str, stage: Any, config: PartConfig, tokens: int, half: bool) -> PartSize:
    number = sum(parameter.numel() for parameter in stage.parameters())
    return PartSize(
        name, number, not config.freeze, number * bytes_each(config, half=half),
        width=getattr(config, "hidden_size", 0) or stage.out_width, tokens=tokens,
        layers=getattr(config, "num_hidden_layers", 1), inner=getattr(config, "intermediate_size", 0),
        **_adapters(name, stage, config),
    )


def _llm_part(model: CausalLM, config: PartConfig, half: bool, quantize: Quantization | None) -> PartSize:
    number = sum(parameter.numel() for parameter in model.parameters())
    output = model.model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer is not output]
    kept = bytes_each(config, half=half)
    total = float(number * kept)
    if quantize:
        small = sum(layer.weight.numel() for layer in layers if fits(layer, quantize))
        total += small * (QUANTIZED_BYTES[quantize] - kept)
    values = model.model.config
    return PartSize("llm", number, not config.freeze, total, width=model.width, tokens=0,
                    layers=values.num_hidden_layers, inner=_inner_width(values), **_adapters("llm", model, config))


def _inner_width(values: PreTrainedConfig) -> int:
    """Width inside the MLPs, as the families call it; where none is said (GPT-2, BLOOM), four times the width."""
    said = (getattr(values, name, None) for name in ("intermediate_size", "ffn_dim", "n_inner"))
    return next((int(number) for number in said if number), 4 * values.hidden_size)


def _adapters(name: str, part: nn.Module, config: PartConfig) -> dict[str, int]:
    """Rows and columns of A [r, in] and B [out, r]; each layer keeps its input and what A makes of it."""
    if not config.lora.r:
        return {}
    layers = adapted_layers(part, config.lora, where=f"model.{name}")
    return {"adapters": sum(config.lora.r * (layer.in_features + layer.out_features) for layer in layers),
            "adapter_inputs": sum(layer.in_features + config.lora.r for layer in layers)}
