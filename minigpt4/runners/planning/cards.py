"""What fits on which card: the least quantisation and the largest batch, as options to type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from minigpt4.models.language_models.quantized import Quantization
from minigpt4.runners.planning.memory import Load, Memory, chat_memory, training_memory
from minigpt4.runners.planning.sizes import ModelSize

GB = 1e9
CARDS: Mapping[str, float] = {
    "8 GB": 8, "12 GB": 12, "Colab T4": 15, "16 GB": 16, "24 GB": 24, "48 GB": 48, "80 GB": 80,
}
"""gigabytes a program can have; a T4 has 16, of which 15 are free"""
FILLED = 0.92
"""share of a card that is planned with: the allocator leaves gaps"""
CONTEXT = 0.5 * GB
"""what CUDA takes for itself"""
QUANTIZATIONS: tuple[Quantization | None, ...] = (None, "int8", "nf4")
CHAT_POSITIONS = 2048

Sizes = Mapping[Quantization | None, ModelSize]
"""quantisation -> the model, in 16 bit else"""


@dataclass(frozen=True)
class Fit:
    """How something fits: quantisation of the language model, samples of a micro-batch, memory."""

    quantize: Quantization | None
    rows: int
    memory: Memory


def chat_fit(sizes: Sizes, gigabytes: float) -> Fit | None:
    """The best way to chat on a card; None if there is none."""
    for quantize, size in sizes.items():
        memory = chat_memory(size, positions=CHAT_POSITIONS, value_bytes=2, context=CONTEXT)
        if memory.total <= FILLED * gigabytes * GB:
            return Fit(quantize, 1, memory)
    return None


def training_fit(sizes: Sizes, gigabytes: float, load: Load) -> Fit | None:
    """The best way to train on a card, with the batch halved as often as it must be; None if there is none."""
    for quantize, size in sizes.items():
        rows = load.rows
        while rows >= 1:
            memory = training_memory(size, replace(load, rows=rows, value_bytes=2), context=CONTEXT)
            if memory.total <= FILLED * gigabytes * GB:
                return Fit(quantize, rows, memory)
            rows //= 2
    return None
