"""Memory and work of a training step and of a chat, from the sizes of a model.

What autograd keeps is counted layer by layer. A frozen linear layer keeps nothing of its input: that is why training a
projection costs far less than training the language model behind it. D is the width, I the inner width of an MLP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigpt4.runners.planning.sizes import ModelSize, PartSize

FP32 = 4
ADAM_BYTES = 8
"""two moments in fp32 for each trained parameter"""
HEAP_SHARE = 1.5
"""memory of a CPU's process for each byte of activations that lives: freed blocks below 32 MB stay in the heap of the C
library, with holes (measured 1.48 to 1.6 over the sizes of benchmarks/plan.py)"""
LOGIT_COPIES = 3
"""logits, their log-softmax and its gradient, in fp32"""


@dataclass(frozen=True)
class Load:
    """What one step works on."""

    rows: int
    """samples of a micro-batch"""
    positions: int
    """longest row: image, prompt and answer"""
    supervised: int
    """positions that predict a learned token"""
    value_bytes: int
    """of an activation: 2 in 16 bit, 4 in fp32"""
    checkpointing: bool = False
    """activations of the language model are computed again in the backward pass"""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: float
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    logits: float = 0.0
    cache: float = 0.0
    context: float = 0.0
    """what the driver takes on a GPU"""
    heap: float = 0.0
    """what the C library keeps of freed activations on a CPU"""

    @property
    def total(self) -> float:
        return (self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.cache
                + self.context + self.heap)


def training_memory(size: ModelSize, load: Load, *, context: float = 0.0, on_cpu: bool = False) -> Memory:
    """The peak of a training step: while images are encoded, or at the end of the language model's forward pass."""
    vocabulary = size.llm.vocab_size
    llm = _kept_by_llm(size, load)
    visual = [_visual(part, load) for part in size.parts if part.name != "llm"]
    logits = float(load.rows * load.supervised * vocabulary * FP32 * LOGIT_COPIES)
    kept = sum(part.kept for part in visual)
    encoding = max((part.passing for part in visual), default=0.0)
    activations = kept + max(llm, encoding)
    heap = (HEAP_SHARE - 1) * (activations + logits) if on_cpu else 0.0
    return Memory(size.weights, size.trained * FP32, size.trained * ADAM_BYTES, activations, logits, context=context,
                  heap=heap)


def chat_memory(size: ModelSize, *, positions: int, value_bytes: int, beams: int = 1, context: float = 0.0) -> Memory:
    """A conversation that fills `positions`: weights, keys and values, one image on its way."""
    values: Any = size.llm
    heads = getattr(values, "num_key_value_heads", None) or values.num_attention_heads
    head = values.hidden_size // values.num_attention_heads
    cache = 2.0 * values.num_hidden_layers * heads * head * value_bytes * positions * beams
    load = Load(rows=1, positions=positions, supervised=1, value_bytes=value_bytes)
    passing = max((_visual(part, load).passing for part in size.parts if part.name != "llm"), default=0.0)
    return Memory(size.weights, activations=passing, cache=cache, context=context)


def operations_per_sample(size: ModelSize, load: Load) -> float:
    """Floating-point operations of one sample of training: 2 a weight and position forward, 2 back, 2 if it trains."""
    total = 0.0
    for part in size.parts:
        positions = load.positions if part.name == "llm" else part.tokens
        lookup = size.llm.vocab_size * size.llm.hidden_size if part.name == "llm" else 0
        passes = 2 + (2 if part.name == "llm" or part.trains or part.adapters else 0) + (2 if part.trains else 0)
        total += (passes * (part.parameters - lookup) + 6 * part.adapters) * positions
    return total


@dataclass(frozen=True)
class _Visual:
    kept: float
    """until the backward pass"""
    passing: float
    """at most at one time without a gradient"""


def _visual(part: PartSize, load: Load) -> _Visual:
    positions = load.rows * part.tokens
    passing = positions * (3 * part.width + 2 * part.inner) * load.value_bytes
    if not part.trains and not part.adapters:
        return _Visual(0.0, passing)
    a_layer = positions * (10 * part.width + 3 * part.inner) * load.value_bytes
    return _Visual(part.layers * a_layer + positions * part.adapter_inputs * FP32, passing)


def _kept_by_llm(size: ModelSize, load: Load) -> float:
    """Bytes that all layers keep for the backward pass."""
    part, values = size.part("llm"), size.llm
    positions = load.rows * load.positions
    norms = 2 * part.width * FP32
    attention = 4 * part.width * load.value_bytes
    mlp = 3 * part.inner * load.value_bytes
    inputs = (3 * part.width + part.inner) * load.value_bytes if part.trains else 0
    a_layer = positions * (norms + attention + mlp + inputs)
    if load.checkpointing:
        kept_inputs = values.num_hidden_layers * positions * part.width * load.value_bytes
        return kept_inputs + a_layer + positions * part.adapter_inputs * FP32 / values.num_hidden_layers
    return float(values.num_hidden_layers * a_layer + positions * part.adapter_inputs * FP32)
