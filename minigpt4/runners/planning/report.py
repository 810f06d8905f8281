"""The plan of a config as lines for people: parts, memory here, what fits where, time."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from minigpt4.common.config import Config
from minigpt4.common.devices import choose_device
from minigpt4.common.errors import UserError
from minigpt4.datasets.assembly import build_source
from minigpt4.datasets.mixture import Mixture
from minigpt4.runners.planning.cards import (
    CARDS,
    CHAT_POSITIONS,
    CONTEXT,
    QUANTIZATIONS,
    Fit,
    Sizes,
    chat_fit,
    training_fit,
)
from minigpt4.runners.planning.memory import Load, Memory, chat_memory, operations_per_sample, training_memory
from minigpt4.runners.planning.sizes import ModelSize, size_of
from minigpt4.runners.planning.storing import store_line
from minigpt4.tasks.image_text_pretrain import batch_size

GIB = 1 << 30
PROMPT_POSITIONS = 24
"""of a question and what the template puts around it; the prompts of stage 2 have fewer"""
USED_RATE = 0.6
"""share of the rate of one large product that a whole training step is taken to reach: on a CPU the two stages of the
embedded default reach 0.8 and 0.5 of it; on GPUs it is not measured"""


def plan_lines(config: Config, *, llm: str | None = None, folder: Path | None = None) -> list[str]:
    """What a config needs.

    Args:
        config: with `model:`; `run:` and `datasets:` for training and time.
        llm: plan with this language model instead (`KNOWN_LLMS`).
        folder: the YAML's folder.

    Raises:
        UserError: nothing says how large the language model is.
    """
    run = getattr(config, "run", None)
    device = choose_device(str(getattr(run, "device", "auto")))
    half = device.type != "cpu"
    size = size_of(config.model, half=half, llm=llm, folder=folder)
    lines = [*_parts(size), ""]
    context = CONTEXT if half else 0.0
    chat = chat_memory(size, positions=_chat_positions(size), value_bytes=2 if half else 4, context=context)
    load = None
    if run is not None:
        load = load_of(config, size, half=half)
        lines.append(_memory(f"training on {device.type}, {load.rows} x {load.positions} positions",
                             training_memory(size, load, context=context, on_cpu=not half)))
    lines.append(_memory(f"chat on {device.type}, {_chat_positions(size):,} positions", chat))
    if load is not None:
        lines += [_time(config, size, load, device), *_store(config, size, load)]
    sizes = {kind: size_of(config.model, half=True, llm=llm, quantize=kind, folder=folder) for kind in QUANTIZATIONS}
    return [*lines, "", *_cards(sizes, load)]


def load_of(config: Config, size: ModelSize, *, half: bool) -> Load:
    """What a training step of a config works on, at its longest."""
    model = config.model
    prompt = 0 if model.template == "plain" else PROMPT_POSITIONS
    positions, max_tokens = 1 + prompt + size.image_tokens + model.max_txt_len, config.run.max_tokens
    return Load(
        rows=batch_size(config) if max_tokens is None else max(1, max_tokens // positions), positions=positions,
        supervised=model.max_txt_len, value_bytes=2 if half and config.run.precision != "fp32" else 4,
        checkpointing=model.llm.activation_checkpointing,
    )


def _chat_positions(size: ModelSize) -> int:
    built_for: int = getattr(size.llm, "max_position_embeddings", CHAT_POSITIONS)
    return min(CHAT_POSITIONS, built_for)


def _parts(size: ModelSize) -> list[str]:
    lines = [f"{'part':<12}{'parameters':>16}  {'':<8}{'GiB':>8}"]
    for part in size.parts:
        state = "trains" if part.trains else "frozen"
        lines.append(f"{part.name:<12}{part.parameters:>16,}  {state:<8}{part.bytes / GIB:>8.2f}")
    total = sum(part.parameters for part in size.parts)
    lines.append(f"{'all':<12}{total:>16,}  {size.trained:,} train; {size.image_tokens} tokens per image")
    return lines


def _memory(title: str, memory: Memory) -> str:
    shares = {
        "weights": memory.weights, "gradients": memory.gradients, "optimizer": memory.optimizer,
        "activations": memory.activations, "logits": memory.logits, "keys and values": memory.cache,
        "CUDA": memory.context, "heap": memory.heap,
    }
    named = " + ".join(f"{name} {value / GIB:.2f}" for name, value in shares.items() if value >= 0.005 * GIB)
    return f"{title}: {memory.total / GIB:.2f} GiB ({named or 'next to nothing'})"


def _time(config: Config, size: ModelSize, load: Load, device: torch.device) -> str:
    samples = _samples_per_epoch(config, load, _samples_here(config))
    if samples is None:
        return "time: the data are not here, so an epoch has no length; set run.iters_per_epoch"
    seconds = operations_per_sample(size, load) * samples / (USED_RATE * _rate(size, load, device))
    epochs = config.run.max_epoch
    return (f"time: about {_duration(seconds)} for an epoch of {samples:,} samples on this {device.type}, "
            f"{_duration(seconds * epochs)} for {epochs}; less where rows are shorter")


def _store(config: Config, size: ModelSize, load: Load) -> list[str]:
    """Whether a feature store would pay, where the data are here."""
    images = _samples_here(config)
    if images is None or not size.image_tokens:
        return []
    seen = (_samples_per_epoch(config, load, images) or 0) * config.run.max_epoch
    return [store_line(size, load, images=images, samples_seen=seen)]


def _samples_per_epoch(config: Config, load: Load, samples: int | None) -> int | None:
    if config.run.iters_per_epoch:
        return int(config.run.iters_per_epoch) * load.rows
    return samples


def _samples_here(config: Config) -> int | None:
    """Samples of the training splits; None where they are not here, or a stream."""
    try:
        source = build_source(config.datasets, seed=config.run.seed, splits=config.run.train_splits)
    except UserError:
        return None
    return source.num_samples if isinstance(source, Mixture) else None


def _rate(size: ModelSize, load: Load, device: torch.device) -> float:
    """Operations a second of this device on a product of the language model's MLP."""
    dtype = torch.float32 if load.value_bytes == 4 else torch.float16
    part = size.part("llm")
    rows = min(load.rows * load.positions, 2048)
    left = torch.randn(rows, part.width, device=device, dtype=dtype)
    right = torch.randn(part.width, part.inner, device=device, dtype=dtype)
    left @ right
    number, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < 0.3:
        float((left @ right)[0, 0])  # waits for the device
        number += 1
    return 2 * rows * part.width * part.inner * number / passed


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cards(sizes: Sizes, load: Load | None) -> list[str]:
    lines = [f"{'card':<10}{'chat':<26}{'training' if load else ''}"]
    for name, gigabytes in CARDS.items():
        chat = _fit(chat_fit(sizes, gigabytes))
        training = _fit(training_fit(sizes, gigabytes, load), batch=True) if load else ""
        lines.append(f"{name:<10}{chat:<26}{training}".rstrip())
    return lines + ["int8, nf4: --options model.llm.quantize=int8 (or nf4), with the extra 'quantized'"]


def _fit(fit: Fit | None, *, batch: bool = False) -> str:
    if fit is None:
        return "too small"
    rows = f", batch {fit.rows}" if batch else ""
    return f"{fit.quantize or '16 bit'}{rows}: {fit.memory.total / GIB:.1f} GiB"
