"""The gradient of one optimizer step: a window of micro-batches over all ranks.

Supervised tokens are counted over the whole window and all ranks *before* the first forward; each micro-batch then
backpropagates `loss_sum / total (+ auxiliary / micro-batches)`. So neither accumulation nor world size can change
the result, and fp16 and clipping see the true scale. The original's mean per rank and micro-batch is fault 6 of
docs/originals/minigpt4.md#faults.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup
from minigpt4.common.sharded_tensors import is_sharded
from minigpt4.records.batches import Batch, Output
from minigpt4.runners.optimizer import trainable
from minigpt4.runners.parallel.replicated import Replicated
from minigpt4.runners.parallel.strategy import Strategy
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
    """The task's step as a module, so that DDP sees one forward that reaches every trainable parameter.

    A rank whose batch has no row, or an image-less batch of a model with images, takes part with gradients of zero.

    Args:
        model: what trains.
        task: says what a step is.
        stand_in: what a rank without a row runs, so that it makes the forward pass of the others; None = it makes none.
    """

    def __init__(self, model: nn.Module, task: Task, stand_in: Batch | None = None) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.stand_in = stand_in

    def forward(self, batch: Batch) -> Output:
        if batch.input_ids.shape[0]:
            output = self.task.output(self.model, batch)
            return Output(output.loss_sum + self._nothing(), output.num_tokens, output.auxiliary)
        if self.stand_in is None:
            return Output(self._nothing(), 0)
        output = self.task.output(self.model, self.stand_in)
        return Output(output.loss_sum * 0 + self._nothing(), 0)

    def _nothing(self) -> Tensor:
        """0 with a gradient of 0 for every trainable parameter: an empty slice cannot carry a NaN along.

        Sharded ones are left out: those of layers have a gradient from every forward pass, the others are whole now.
        """
        parts = [parameter.reshape(-1)[:0].float().sum() for parameter in trainable(self.model).values()
                 if not is_sharded(parameter)]
        return torch.stack([part.to(parts[0].device) for part in parts]).sum() if parts else torch.zeros(())


class WindowGradient:
    """Leaves in `.grad` the gradient of a window; how ranks share the model is the strategy's (None = each has all)."""

    def __init__(self, model: nn.Module, task: Task, group: ProcessGroup, precision: Precision,
                 device: torch.device, strategy: Strategy | None = None) -> None:
        self._group = group
        self._precision = precision
        self._device = device
        self._strategy = strategy or Replicated(group)
        self._step = self._strategy.wrap(MicroStep(model, task, self._strategy.stand_in))

    def __call__(self, window: Sequence[Batch], scaler: torch.amp.GradScaler) -> WindowResult:
        """Forward and backward of all micro-batches of a window; each goes to the device when its turn comes.

        Raises `UserError` if no rank has a supervised token: a mean of nothing would be NaN.
        """
        total = self._count_tokens(window)
        summed = [self._backward(batch, total, len(window), last=index == len(window) - 1, scaler=scaler)
                  for index, batch in enumerate(window)]
        losses = [float(loss) for loss in summed]  # only now: reading a number waits for the device
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
        with self._group.naming_the_dead(), self._strategy.gradients_stay_here(self._step, last=last):
            with self._precision.autocast():
                output: Output = self._step(batch.to(self._device))
            # The gradient is the mean over the ranks; times world_size it is the sum, which one process would have.
            loss = output.loss_sum * (self._group.world_size / total)
            for auxiliary in output.auxiliary.values():
                loss = loss + auxiliary / micro_batches
            scaler.scale(loss).backward()
        return output.loss_sum.detach()
