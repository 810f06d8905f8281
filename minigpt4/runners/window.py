"""The gradient of one optimizer step: a window of micro-batches over all ranks.

Supervised tokens are counted over the whole window and all ranks *before* the first forward; each micro-batch then
backpropagates `loss_sum / total (+ auxiliary / micro-batches)`. So neither accumulation nor world size can change
the result, and fp16 and clipping see the true scale. The original's mean per rank and micro-batch is fault 6 of
docs/originals/minigpt4.md#faults.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup
from minigpt4.records.batches import Batch, Output
from minigpt4.runners.optimizer import trainable
from minigpt4.runners.precision import Precision
from minigpt4.tasks.task import Task


@dataclass(frozen=True)
class WindowResult:
    """What a window gave on this rank, before the ranks talk."""

    loss_sum: float
    """summed loss of this rank; not finite where a micro-batch was not"""
    total_tokens: float
    """supervised tokens of all ranks"""
    samples: int
    """rows of this rank"""
    bad_batches: tuple[Batch, ...] = ()
    """micro-batches of this rank whose loss is not finite"""


class MicroStep(nn.Module):
    """The task's step as a module, so that DDP sees one forward that reaches every parameter it waits for.

    A rank whose batch has no row, or an image-less batch of a model with images, takes part with gradients of zero.

    Args:
        model: what is trained.
        task: says what a step is.
        awaited: parameters that every forward must reach; a single process waits for none.
    """

    def __init__(self, model: nn.Module, task: Task, awaited: Sequence[nn.Parameter] = ()) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self._awaited = tuple(awaited)

    def forward(self, batch: Batch) -> Output:
        if batch.input_ids.shape[0] == 0:
            return Output(self._nothing(batch), 0)
        output = self.task.output(self.model, batch)
        if not self._awaited:
            return output
        return Output(output.loss_sum + self._nothing(batch), output.num_tokens, output.auxiliary)

    def _nothing(self, batch: Batch) -> Tensor:
        """0 with a gradient of 0 for every awaited parameter: an empty slice cannot carry a NaN along."""
        parts = [parameter.reshape(-1)[:0].float().sum() for parameter in self._awaited]
        if not parts:
            return torch.zeros((), device=batch.input_ids.device)
        return torch.stack([part.to(parts[0].device) for part in parts]).sum()


class WindowGradient:
    """Leaves in `.grad` the gradient of a window; owns the DDP wrapper where there are several ranks."""

    def __init__(self, model: nn.Module, task: Task, group: ProcessGroup, precision: Precision,
                 device: torch.device) -> None:
        self._group = group
        self._precision = precision
        self._device = device
        self._parameters = tuple(trainable(model).values())  # once: a walk over all modules takes milliseconds
        several = group.world_size > 1
        self._step: nn.Module = MicroStep(model, task, self._parameters if several else ())
        if several:
            # Position tables need not travel at every step; running statistics of a batch norm must.
            self._step = DistributedDataParallel(self._step, broadcast_buffers=_keeps_statistics(model))

    def __call__(self, window: Sequence[Batch], scaler: torch.amp.GradScaler) -> WindowResult:
        """Forward and backward of all micro-batches of a window; each goes to the device when its turn comes.

        Raises `UserError` if no rank has a supervised token: a mean of nothing would be NaN.
        """
        total = self._count_tokens(window)
        summed = [self._backward(batch, total, len(window), last=index == len(window) - 1, scaler=scaler)
                  for index, batch in enumerate(window)]
        for parameter in self._parameters:
            if parameter.grad is None:  # it had no part in this window, which is no reason to stand still
                parameter.grad = torch.zeros_like(parameter)
        losses = torch.stack(summed).tolist()  # only now and all at once: reading a number waits for the device
        return WindowResult(
            loss_sum=sum(losses), total_tokens=total, samples=sum(batch.input_ids.shape[0] for batch in window),
            bad_batches=tuple(batch for batch, loss in zip(window, losses, strict=True) if not math.isfinite(loss)),
        )

    def _count_tokens(self, window: Sequence[Batch]) -> float:
        total = self._group.sum([sum(batch.num_supervised for batch in window)])[0]
        if total == 0:
            unsupervised = [name for batch in window for name in batch.unsupervised]
            raise UserError("train.no_supervised_token",
                            what=f"a step of {len(window)} micro-batches has no token to learn from "
                                 f"(samples without one: {', '.join(unsupervised[:5]) or 'none, all were unreadable'})",
                            fix="look at the data with minigpt4 data show; is model.max_txt_len too small?")
        return total

    def _backward(self, batch: Batch, total: float, micro_batches: int, *, last: bool,
                  scaler: torch.amp.GradScaler) -> Tensor:
        with self._group.naming_the_dead(), self._gradients_stay_here(last):
            with self._precision.autocast():
                output: Output = self._step(batch.to(self._device))
            # DDP takes the mean over the ranks; times world_size it is the sum, which one process would have.
            loss = output.loss_sum * (self._group.world_size / total)
            for auxiliary in output.auxiliary.values():
                loss = loss + auxiliary / micro_batches
            if loss.requires_grad:
                scaler.scale(loss).backward()
        return output.loss_sum.detach()

    def _gradients_stay_here(self, last: bool) -> AbstractContextManager[Any]:
        """Only the last micro-batch of a window sends gradients around."""
        if last or not isinstance(self._step, DistributedDataParallel):
            return nullcontext()
        return self._step.no_sync()


def _keeps_statistics(model: nn.Module) -> bool:
    """True where a batch norm is in training."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training for layer in model.modules())
