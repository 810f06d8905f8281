"""Attention of samples that stand end to end in one row: each sees itself only.

Registered with transformers as an attention of its own, so its models run in one row as they are. Without bounds it is
transformers' SDPA, to the bit. With them: on a GPU in half precision one call of the variable-length kernel, elsewhere
one SDPA call per sample, which needs no mask (a dense block mask of 8 samples costs 34 % a position on a CPU).

H heads, G key-value heads, T tokens of all samples, E width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from minigpt4.records.batches import SampleBounds

ROW_ATTENTION = "minigpt4_rows"
"""its name in transformers"""
HALF = (torch.float16, torch.bfloat16)
FP32_ATTENTION = frozenset({"cpu"})
"""kinds of devices on which the backward pass of half-precision attention is slower than float32's (a Zen 4 with
AVX512-BF16: 2.5 times), so that queries, keys and values are made float32 there"""


ROW_FAMILIES = frozenset({"gemma", "gpt2", "gpt_neox", "llama", "mistral", "mixtral", "opt", "phi3", "qwen2",
                          "qwen2_moe", "qwen3", "qwen3_moe"})
"""language models that were compared with themselves in padded rows: their attention hands everything on, and their
logits are the output layer's as they are; others stay in padded rows"""
KERNEL_WIDTH, KERNEL_CARDS = 256, (8, 0)
"""widest head and oldest cards (Ampere) of the flash kernel behind torch's variable-length attention"""
NO_MASK = (1, 1, 0, 0)
"""shape of a mask that transformers takes as ready-made, so that it makes none and reads no number from the device"""


def takes_one_row(model: PreTrainedModel) -> bool:
    """Whether samples may stand end to end in one row of a transformers model."""
    return model.config.model_type in ROW_FAMILIES and model.config._attn_implementation == "sdpa"


def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
           scaling: float | None = None, dropout: float = 0.0, sliding_window: int | None = None,
           samples: SampleBounds | None = None, **more: Any) -> tuple[Tensor, None]:
    """What transformers' attention layers call.

    Args:
        module: the layer.
        query: [1, H, T, E].
        key, value: [1, G, T, E].
        attention_mask: not looked at where there are bounds.
        scaling: of the scores; None = 1 / sqrt(E).
        dropout: of the weights.
        sliding_window: positions that a token sees, itself included; None = all before it.
        samples: bounds of the samples; None = the rows are padded, and the mask says where.

    Returns:
        [1, T, H, E], and no weights.
    """
    if samples is None:
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, sliding_window=sliding_window,
            **more)
        return attended
    kind, dtype = query.device.type, value.dtype
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    computed = torch.float32 if dtype in HALF and kind in FP32_ATTENTION else dtype
    with torch.autocast(kind, enabled=False):
        q, k, v = (part.to(computed) for part in (query, key, value))
        if _has_kernel(q) and not dropout:
            return _by_kernel(q, k, v, scaling, sliding_window, samples), None
        return _one_by_one(q, k, v, scaling, dropout, sliding_window, samples.lengths).to(dtype), None


def _has_kernel(query: Tensor) -> bool:
    """Whether the variable-length kernel takes these heads on this device."""
    return (query.is_cuda and query.dtype in HALF and query.shape[-1] <= KERNEL_WIDTH
            and torch.cuda.get_device_capability(query.device) >= KERNEL_CARDS)


def _by_kernel(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None,
               samples: SampleBounds) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    longest = max(samples.lengths)
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    said = varlen_attn(q, k, v, samples.starts, samples.starts, longest, longest, scale=scaling,
                       window_size=(-1 if window is None else window - 1, 0),
                       enable_gqa=query.shape[1] != key.shape[1])
    assert isinstance(said, Tensor), "nothing else was asked for"
    return said.unsqueeze(0)


def _one_by_one(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float,
                window: int | None, lengths: tuple[int, ...]) -> Tensor:
    heads = query.shape[1]
    parts = (query, _for_each(key, heads), _for_each(value, heads))
    said = [
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None,
                                       scale=scaling).transpose(1, 2)
        for q, k, v, mask in zip(*(part.split(lengths, dim=2) for part in parts),
                                 (_window_mask(length, window, query.device) for length in lengths), strict=True)
    ]
    return torch.cat(said, dim=1)


def _for_each(part: Tensor, heads: int) -> Tensor:
    """[1, G, T, E] -> [1, H, T, E], each key-value head repeated for the heads that share it."""
    shared = heads // part.shape[1]
    return part if shared == 1 else part.repeat_interleave(shared, dim=1)


def _window_mask(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """[length, length] bool where a sample is longer than the window; None = causal attention says it all."""
    if window is None or length <= window:
        return None
    ones = torch.ones(length, length, dtype=torch.bool, device=device)
    return ones.tril() & ones.triu(1 - window)


AttentionInterface.register(ROW_ATTENTION, attend)
AttentionMaskInterface.register(ROW_ATTENTION, sdpa_mask)
