"""What the loop asks of the way in which processes share a model.

Every rank runs every forward pass of a step, whatever its batch holds: a rank without a row takes part with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import nn

from minigpt4.records.batches import Batch

Awaited = Callable[[], Sequence[nn.Parameter]]
"""the parameters, as they are in this forward pass, that a loss must reach on every rank"""


class Strategy(Protocol):
    """One of several ways; all give the same gradients up to rounding."""

    collective: bool
    """forward passes, what a bundle stores and the optimizer's state are made by all ranks together"""

    stand_in: Batch | None
    """what a rank runs in a step for which it has no row; None = it need not run anything"""

    def describe(self) -> list[str]:
        """Lines for the start of a run; none for a single process."""

    def spread(self, model: nn.Module) -> None:
        """Give each rank its part of a model that is built and frozen; its language model may still be empty."""

    def begin(self, model: nn.Module) -> None:
        """Called once, when all weights are read and before any forward pass."""

    def awaited(self, model: nn.Module) -> Awaited | None:
        """Parameters of which a rank needs a gradient in every micro-batch, even one of zero; None = of none."""

    def wrap(self, step: nn.Module) -> nn.Module:
        """The step of a micro-batch, whose gradients are then the mean over all ranks."""

    def gradients_stay_here(self, step: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of a micro-batch of a window; `last` is its last one."""

    def unequal(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Around forward passes without gradients of which ranks may make different numbers."""

    def first_alone(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Around what the first rank alone does with the model; all ranks enter."""
