"""Which samples of a step are a rank's, also where a run goes on with another number of ranks than it was begun on.

The samples of a step are those of the ranks that the run was begun on: B for each of them. Ranks that go on with it
share out the same samples, so steps, schedule and the data's one integer of state mean what they meant, and every
sample comes once. Fewer ranks cut their part into several micro-batches of at most B; more ranks have smaller ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """The positions of one rank.

    Args:
        batch_size: samples of a micro-batch, at most.
        rank, world_size: this process and how many there are now.
        begun_on: number of ranks that the run was begun on; None = those of now.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1
    begun_on: int | None = None

    @property
    def samples_per_step(self) -> int:
        """Samples of a step over all ranks."""
        return self.batch_size * (self.begun_on or self.world_size)

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that every rank makes of its part of a step."""
        return batches_per_step(self.begun_on, self.world_size)

    def step_of(self, number: int) -> int:
        """The step that a rank's micro-batch belongs to."""
        return number // self.batches_per_step

    def positions(self, number: int) -> range:
        """The positions of this rank's micro-batch of a number; none where there are more ranks than samples."""
        step, turn = divmod(number, self.batches_per_step)
        cuts, cut = self.batches_per_step * self.world_size, turn * self.world_size + self.rank
        first = step * self.samples_per_step
        return range(first + cut * self.samples_per_step // cuts, first + (cut + 1) * self.samples_per_step // cuts)


def batches_per_step(begun_on: int | None, world_size: int) -> int:
    """Micro-batches in which each of `world_size` ranks sees its part of a step of `begun_on` ranks."""
    return -(-(begun_on or world_size) // world_size)
