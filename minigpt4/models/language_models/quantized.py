"""A language model in 8 or 4 bit by bitsandbytes, on CUDA and CPU.

Only the linear layers inside the language model are quantised: never its output layer, its embedding, or any other
part. Layers are exchanged while they are empty (meta device) and quantised one by one as their weights are read, so
that the full model is never in memory.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from minigpt4.common.extras import import_extra

Quantization = Literal["int8", "nf4"]
OUTLIERS = 6.0
"""activations above it stay in 16 bit (LLM.int8(), arXiv 2208.07339); transformers' default"""


def quantize_linear_layers(model: Any, kind: Quantization, compute_dtype: torch.dtype) -> int:
    """Exchange the linear layers of a causal LM; those that hold weights are quantised now, empty ones when filled.

    Args:
        model: a transformers causal LM.
        kind: int8 = LLM.int8(); nf4 = 4 bit with double quantisation (QLoRA).
        compute_dtype: dtype of products in 4 bit.

    Returns:
        number of layers exchanged.

    Raises:
        UserError: bitsandbytes is not installed.
    """
    library = import_bitsandbytes()
    output = model.get_output_embeddings()
    found = [(parent, name, layer) for parent in list(model.modules()) for name, layer in parent.named_children()
             if isinstance(layer, nn.Linear) and layer is not output and not is_quantized(layer)]
    for parent, name, layer in found:
        new = _empty_layer(library, layer, kind, compute_dtype)
        if not layer.weight.is_meta:
            new.weight = quantized_weight(new, layer.weight.data, layer.weight.device)
        if layer.bias is not None:
            new.bias = layer.bias
        setattr(parent, name, new)
    return len(found)


def import_bitsandbytes() -> Any:
    """bitsandbytes, or the sentence that says how to get it or go on without."""
    bitsandbytes = import_extra("bitsandbytes", "quantized", where="model.llm.quantize",
                                without="model.llm.quantize=null (low_resource: False)")
    # it tells at every single product that inputs are cast: older versions as a warning, newer ones in their log
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    return bitsandbytes


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


def _empty_layer(library: Any, layer: nn.Linear, kind: Quantization, compute_dtype: torch.dtype) -> Any:
    common = {"bias": layer.bias is not None, "device": "meta"}
    if kind == "nf4":
        return library.nn.Linear4bit(layer.in_features, layer.out_features, compute_dtype=compute_dtype,
                                     compress_statistics=True, quant_type="nf4", **common)
    return library.nn.Linear8bitLt(layer.in_features, layer.out_features, has_fp16_weights=False, threshold=OUTLIERS,
                                   **common)
