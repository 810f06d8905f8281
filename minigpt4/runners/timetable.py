"""How long a run is: epochs, micro-steps and optimizer steps.

A micro-step is one micro-batch; a *window* of them makes one optimizer step. An epoch whose micro-steps are not a
multiple of the window ends with a shorter window, so nothing leaks into the next epoch (the original's did:
docs/originals/minigpt4.md#step).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where in the run an optimizer step is; all counts start at 0."""

    epoch: int
    iteration: int
    """micro-step in the epoch: the last one of the step's window"""
    iterations_per_epoch: int
    epochs: int
    step: int
    """optimizer step in the run"""
    steps: int
    """optimizer steps of the whole run"""
    steps_per_epoch: int


@dataclass(frozen=True)
class Timetable:
    """epochs × iterations_per_epoch micro-steps, `window` of them to an optimizer step."""

    epochs: int
    iterations_per_epoch: int
    window: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.iterations_per_epoch / self.window)

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def at(self, step: int) -> Moment:
        """The moment of an optimizer step."""
        epoch, in_epoch = divmod(step, self.steps_per_epoch)
        end = min((in_epoch + 1) * self.window, self.iterations_per_epoch)
        return Moment(
            epoch=epoch, iteration=end - 1, iterations_per_epoch=self.iterations_per_epoch, epochs=self.epochs,
            step=step, steps=self.steps, steps_per_epoch=self.steps_per_epoch,
        )

    def window_of(self, step: int) -> int:
        """How many micro-batches the optimizer step takes."""
        in_epoch = step % self.steps_per_epoch
        return min(self.window, self.iterations_per_epoch - in_epoch * self.window)

    def position(self, step: int) -> int:
        """Micro-batches done before the optimizer step: the one integer that is the state of the data."""
        epoch, in_epoch = divmod(step, self.steps_per_epoch)
        return epoch * self.iterations_per_epoch + in_epoch * self.window

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch is complete once this optimizer step is done."""
        return (step + 1) % self.steps_per_epoch == 0
