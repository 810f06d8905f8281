"""Every process has the whole model: a single one, or several whose gradients DistributedDataParallel adds up."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from minigpt4.common.process_group import ProcessGroup
from minigpt4.records.batches import Batch
from minigpt4.runners.optimizer import trainable
from minigpt4.runners.parallel.strategy import Awaited


class Replicated:
    """The whole model on each of the group's processes.

    Args:
        group: the processes of the run.
    """

    collective = False
    stand_in: Batch | None = None

    def __init__(self, group: ProcessGroup) -> None:
        self._several = group.world_size > 1

    def describe(self) -> list[str]:
        return []

    def spread(self, model: nn.Module) -> None:
        """Nothing to do."""

    def begin(self, model: nn.Module) -> None:
        """Nothing to do."""

    def awaited(self, model: nn.Module) -> Awaited | None:
        """All that trains: DDP waits for each."""
        parameters = tuple(trainable(model).values())
        return (lambda: parameters) if self._several else None

    def wrap(self, step: nn.Module) -> nn.Module:
        """DDP around the step where there are several processes."""
        if not self._several:
            return step
        # Position tables need not travel at every step; running statistics of a batch norm must.
        return DistributedDataParallel(step, broadcast_buffers=_keeps_statistics(step))

    def gradients_stay_here(self, step: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Only the last micro-batch of a window sends gradients around."""
        return step.no_sync() if isinstance(step, DistributedDataParallel) and not last else nullcontext()

    def unequal(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Forward passes of one rank are no other's concern."""
        return nullcontext()

    def first_alone(self, model: nn.Module) -> AbstractContextManager[Any]:
        return nullcontext()


def _keeps_statistics(step: nn.Module) -> bool:
    """True where a batch norm is in training."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training for layer in step.modules())
