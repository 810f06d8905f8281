"""A language model in 8 or 4 bit by bitsandbytes, on CUDA and CPU.

Only the linear layers inside the language model are quantised: never its output layer, its embedding, or any other
part. Layers are exchanged while they are empty (meta device) and quantised one by one as their weights are read, so
that the full model is never in memory.

On CPUs with AVX512-BF16, bitsandbytes (0.50) repacks a 4-bit weight in the first forward pass in eval mode
without gradients. That works only for some sizes, rounds the scales to bfloat16, and what was repacked passes no
gradient back. So 4 bit is kept to layers of those sizes on every machine, and our layers are never repacked:
an evaluation leaves their weights alone, and every CPU gives the same numbers.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.extras import import_extra

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Quantization = Literal["int8", "nf4"]
OUTLIERS = 6.0
"""activations above it stay in 16 bit (LLM.int8(), arXiv 2208.07339); transformers' default"""
ROWS, COLUMNS = 32, 64
"""a 4-bit weight [out, in] has multiples of these: rows that AVX512-BF16 takes at once, numbers that share a scale"""
CHATTER: Mapping[str, str] = {
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward from kernels-community",
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast",
}
"""logger -> beginning of the message that it logs at every import, or at every matrix product"""


@dataclass(frozen=True)
class QuantizedLayers:
    """What `quantize_linear_layers` did.

    Args:
        kind: how layers were quantised.
        number: of layers that were.
        left_whole: names of those whose sizes 4 bit cannot have, with [out, in].
    """

    kind: Quantization
    number: int
    left_whole: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        counted = f"{self.number} linear layers in {self.kind} by bitsandbytes"
        if not self.left_whole:
            return counted
        kinds = Counter((name.rpartition(".")[2], shape) for name, shape in self.left_whole.items())
        which = ", ".join(f"{number} {name} [{rows}, {columns}]" for (name, (rows, columns)), number in kinds.items())
        return f"{counted}; left whole: {which} (4 bit takes multiples of {ROWS} rows and {COLUMNS} columns)"


def fits(layer: nn.Linear, kind: Quantization) -> bool:
    """True where a layer can be quantised so on every machine: 8 bit takes any size, 4 bit only some."""
    return kind == "int8" or (layer.out_features % ROWS == 0 and layer.in_features % COLUMNS == 0)


def quantize_linear_layers(model: PreTrainedModel, kind: Quantization, compute_dtype: torch.dtype) -> QuantizedLayers:
    """Exchange the linear layers of a causal LM; those that hold weights are quantised now, empty ones when filled.

    Args:
        model: a transformers causal LM.
        kind: int8 = LLM.int8(); nf4 = 4 bit with double quantisation (QLoRA).
        compute_dtype: dtype of products in 4 bit.

    Returns:
        how many were exchanged, and which were left whole.

    Raises:
        UserError: bitsandbytes is not installed, or there is no linear layer (GPT-2 has convolutions instead).
    """
    library = import_bitsandbytes()
    output = model.get_output_embeddings()
    found = {name: layer for name, layer in model.named_modules()
             if isinstance(layer, nn.Linear) and layer is not output and not is_quantized(layer)}
    if not found:
        raise UserError("config.value", where="model.llm.quantize", fix="set model.llm.quantize=null",
                        what=f"is {kind}, but {type(model).__name__} has no linear layers that bitsandbytes replaces")
    fitting = {name: layer for name, layer in found.items() if fits(layer, kind)}
    for name, layer in fitting.items():
        new = _empty_layer(library, layer, kind, compute_dtype)
        if not layer.weight.is_meta:
            new.weight = quantized_weight(new, layer.weight.data, layer.weight.device)
        if layer.bias is not None:
            new.bias = layer.bias
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, new)
    left = {name: (layer.out_features, layer.in_features) for name, layer in found.items() if name not in fitting}
    return QuantizedLayers(kind, len(fitting), left)


def import_bitsandbytes() -> Any:
    """bitsandbytes, or the sentence that says how to get it or continue without."""
    hide_chatter()
    return import_extra("bitsandbytes", "quantized", where="model.llm.quantize",
                        without="model.llm.quantize=null (low_resource: False)")


def hide_chatter() -> None:
    """Keep two messages of bitsandbytes from the log, and nothing else that it says. Call before it is imported."""
    for name, beginning in CHATTER.items():
        logger = logging.getLogger(name)
        if not any(isinstance(each, _Without) for each in logger.filters):
            logger.addFilter(_Without(beginning))
    warnings.filterwarnings("ignore", message=CHATTER["bitsandbytes.autograd._functions"])  # as older versions tell it


class _Without(logging.Filter):
    """Drops the messages that begin so."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self.beginning = beginning

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self.beginning)


def is_quantized(layer: nn.Module) -> bool:
    """True for a layer of bitsandbytes; does not import it."""
    return type(layer).__module__.startswith("bitsandbytes.")


def holds_quantized(part: nn.Module) -> bool:
    """True where some layers are of bitsandbytes."""
    return any(is_quantized(layer) for layer in part.modules())


def quantized_weight(layer: nn.Module, value: Tensor, device: torch.device) -> nn.Parameter:
    """The weight [out, in], on the CPU, as the layer keeps it; quantised on the device that it goes to."""
    library = import_bitsandbytes()
    if isinstance(layer, library.nn.Linear4bit):
        weight = library.nn.Params4bit(
            value, requires_grad=False, quant_type="nf4", compress_statistics=True, module=layer,
        )
    else:
        weight = library.nn.Int8Params(value, requires_grad=False, has_fp16_weights=False)
    parameter: nn.Parameter = weight.to(device)
    return parameter


def _empty_layer(library: ModuleType, layer: nn.Linear, kind: Quantization, compute_dtype: torch.dtype) -> Any:
    common = {"bias": layer.bias is not None, "device": "meta"}
    if kind == "int8":
        return library.nn.Linear8bitLt(layer.in_features, layer.out_features, has_fp16_weights=False,
                                       threshold=OUTLIERS, **common)
    made = library.nn.Linear4bit(layer.in_features, layer.out_features, compute_dtype=compute_dtype,
                                 compress_statistics=True, quant_type="nf4", **common)
    made.support_avx512bf16_for_cpu = False  # its forward pass would repack the weight if this were true
    return made
