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
from minigpt4.records.batches import Batch, Output
from minigpt4.runners.optimizer import trainable
from minigpt4.runners.parallel.replicated import Replicated
from minigpt4.runners.parallel.strategy import Awaited, Strategy
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
        awaited: gives the parameters that every forward must reach; None = there are none, as in a single process.
        stand_in: what a rank without a row runs, so that it makes the forward pass of the others; None = it makes none.
    """

    def __init__(self, model: nn.Module, task: Task, awaited: Awaited | None = None, stand_in: Batch | None = None
                 ) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self._awaited = awaited
        self._stand_in = stand_in

    def forward(self, batch: Batch) -> Output:
        if batch.input_ids.shape[0]:
            output = self.task.output(self.model, batch)
            if self._awaited is None:
                return output
            return Output(output.loss_sum + self._nothing(batch), output.num_tokens, output.auxiliary)
        if self._stand_in is None:
            return Output(self._nothing(batch), 0)
        output = self.task.output(self.model, self._stand_in)
        return Output(output.loss_sum * 0 + self._nothing(batch), 0)

    def _nothing(self, batch: Batch) -> Tensor:
        """0 with a gradient of 0 for every awaited parameter: an empty slice cannot carry a NaN along."""
        parts = [parameter.reshape(-1)[:0].float().sum() for parameter in (self._awaited() if self._awaited else ())]
        if not parts:
            return torch.zeros((), device=batch.input_ids.device)
        return torch.stack([part.to(parts[0].device) for part in parts]).sum()


class WindowGradient:
    """Leaves in `.grad` the gradient of a window; how ranks share the model is the strategy's (None = each has all)."""

    def __init__(self, model: nn.Module, task: Task, group: ProcessGroup, precision: Precision,
                 device: torch.device, strategy: Strategy | None = None) -> None:
        self._group = group
        self._precision = precision
        self._device = device
        self._strategy = strategy or Replicated(group)
        self._parameters = tuple(trainable(model).values())  # once: a walk over all modules takes milliseconds
        micro = MicroStep(model, task, self._strategy.awaited(model), self._strategy.stand_in)
        self._step = self._strategy.wrap(micro)

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
        with self._group.naming_the_dead(), self._strategy.gradients_stay_here(self._step, last=last):
            with self._precision.autocast():
                output: Output = self._step(batch.to(self._device))
            # The gradient is the mean over the ranks; times world_size it is the sum, which one process would have.
            loss = output.loss_sum * (self._group.world_size / total)
            for auxiliary in output.auxiliary.values():
                loss = loss + auxiliary / micro_batches
            if loss.requires_grad:
                scaler.scale(loss).backward()
        return output.loss_sum.detach()
