"""Checks that stop a run before it wastes hours: losses that are not finite, blank weights, too little memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file
from minigpt4.common.seeds import undisturbed
from minigpt4.records.batches import Batch
from minigpt4.runners.precision import Precision
from minigpt4.tasks.task import Task

log = logging.getLogger(__name__)

BLANK_LOSS_DISTANCE = 0.001
"""a first loss this near to ln V says 'every token equally likely': equal logits give it up to rounding, while small
random language models, as people try things with, begin a few hundredths beside it"""

GIB = 1 << 30


def check_first_loss(loss: float, vocab_size: int) -> None:
    """Refuse to train on a loaded, frozen language model that knows nothing (docs/originals/minigpt4.md#losses)."""
    if abs(loss - math.log(vocab_size)) > BLANK_LOSS_DISTANCE:
        return
    raise UserError("weights.blank", where="model.llm",
                    what=f"the first loss is {loss:.4f} = ln {vocab_size}: the loaded, frozen language model gives "
                         "every token the same chance, so its weights are blank, broken or overflow in fp16",
                    fix="run: minigpt4 weights verify FOLDER; or load it in another precision (model.llm.dtype)")


@dataclass
class NonFiniteGuard:
    """Counts losses that are not finite, keeps what made them, stops when there are too many.

    Args:
        folder: where `step_N.pt` go: sample ids and tensors of the bad micro-batches.
        limit: `run.max_nonfinite`.
        rank: part of the file name where it is not the first.
    """

    folder: Path
    limit: int
    rank: int = 0
    count: int = 0

    def met(self, step: int, bad: Sequence[Batch], culprit: str) -> None:
        """One skipped step. Raises `UserError` when it is one too many."""
        self.count += 1
        ids = [name for batch in bad for name in batch.sample_ids]
        if bad:
            try:
                path = str(self._dump(step, bad, culprit))
            except UserError as error:  # a full disk: the step is skipped all the same
                path = f"no file ({error.what})"
            log.warning("step %d: loss is not finite (%s); step skipped, %d so far; samples %s kept in %s",
                        step, culprit, self.count, ", ".join(ids), path)
        if self.count >= self.limit:
            raise UserError("train.nonfinite",
                            what=f"{self.count} steps had a loss or gradient that is not finite (run.max_nonfinite is "
                                 f"{self.limit}); the last: step {step}, {culprit or 'on another rank'}",
                            fix=f"look at {self.folder}, or lower run.init_lr, or use run.precision: bf16 or fp32")

    def _dump(self, step: int, bad: Sequence[Batch], culprit: str) -> Path:
        name = f"step_{step}.pt" if self.rank == 0 else f"step_{step}_rank_{self.rank}.pt"
        with atomic_file(self.folder / name) as part:
            torch.save({"step": step, "culprit": culprit, "batches": [_as_plain(batch) for batch in bad]}, part)
        return self.folder / name


def _as_plain(batch: Batch) -> dict[str, Any]:
    return {
        "sample_ids": batch.sample_ids, "input_ids": batch.input_ids, "attention_mask": batch.attention_mask,
        "labels": batch.labels, "slots": batch.slots, "images": dict(batch.images),
    }


def find_culprit(model: nn.Module, task: Task, batch: Batch, precision: Precision) -> str:
    """Run a bad batch again and name the first layer whose output is not finite, with its dtype."""
    found: list[str] = []

    def watch(name: str) -> Any:
        def look(module: nn.Module, inputs: object, result: object) -> None:
            if not found and isinstance(result, Tensor) and not torch.isfinite(result).all():
                found.append(f"first in {name}, {result.dtype}".replace("torch.", ""))
        return look

    hooks = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    try:
        with undisturbed(), torch.no_grad(), precision.autocast():
            task.output(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else "in the loss itself"


def out_of_memory(window: Sequence[Batch], device: torch.device) -> UserError:
    """The numbers and three remedies."""
    largest = max(window, key=lambda batch: batch.input_ids.numel())
    rows, positions = largest.input_ids.shape
    memory = ""
    if device.type == "cuda":
        free, whole = torch.cuda.mem_get_info(device)
        memory = (f"{torch.cuda.max_memory_allocated(device) / GIB:.1f} GiB were in use, "
                  f"{free / GIB:.1f} of {whole / GIB:.1f} GiB are free; ")
    return UserError("train.out_of_memory", where=str(device),
                     what=f"out of memory ({memory}the largest micro-batch is {rows} rows x {positions} positions "
                          f"with {largest.num_images} images)",
                     fix="1. halve the batch size and double run.accum_grad_iters (same result); "
                         "2. use run.precision: bf16; 3. freeze a part or shorten model.max_txt_len")
