"""Measure splits with what the task counts, summed over batches and ranks, without affecting the training."""

from __future__ import annotations

import torch

from minigpt4.common.seeds import undisturbed
from minigpt4.metrics.tally import Tally
from minigpt4.runners.job import Job
from minigpt4.runners.precision import Precision
from minigpt4.tasks.task import Caption

LEFT_OUT = "samples_left_out"
"""name of the number of unreadable or target-less samples beside the task's own measures"""


def measure_split(job: Job, split: str, precision: Precision, limit: int | None) -> dict[str, float]:
    """Means of everything the task counts on a split; what could not be counted is left out.

    Samples that could not be read or have no target are reported as a count.

    Uses the model without DDP, as ranks may have unequal numbers of batches.
    """
    tallies = {name: Tally() for name in job.task.measures}
    lost = 0
    job.model.eval()
    with undisturbed(), torch.no_grad(), job.strategy.unequal(job.model):
        for batch in job.task.evaluation_batches(split, limit):
            lost += len(batch.unreadable) + len(batch.unsupervised)
            if batch.input_ids.shape[0] == 0:
                continue
            with precision.autocast():
                counted = job.task.measure(job.model, batch.to(job.device))
            tallies = {name: tally + counted[name] for name, tally in tallies.items()}
    left_out = job.group.sum([lost])[0]
    return {**_means_over_ranks(job, tallies), **({LEFT_OUT: left_out} if left_out else {})}


def _means_over_ranks(job: Job, tallies: dict[str, Tally]) -> dict[str, float]:
    numbers = [number for tally in tallies.values() for number in (tally.total, tally.count)]
    summed = iter(job.group.sum(numbers))
    whole = {name: Tally(next(summed), next(summed)) for name in tallies}
    return {name: tally.mean for name, tally in whole.items() if tally.mean is not None}


def sample_captions(job: Job, split: str) -> list[Caption]:
    """A few generated captions of a split, on the first rank; the others have none."""
    job.model.eval()
    with undisturbed(), torch.no_grad(), job.strategy.first_alone(job.model):
        return job.task.captions(split) if job.group.is_first else []
