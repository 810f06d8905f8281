"""Learning rates over a run.

Two schedules are the original's, number by number, faults included (docs/originals/minigpt4.md#schedule-cosine):
they count micro-steps, restart the warm-up in every epoch, drop at its end and never quite reach `min_lr`. The two
corrected ones count optimizer steps, continue from where the warm-up ended and reach `min_lr` at the last step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from minigpt4.common.errors import UserError
from minigpt4.common.registry import schedules
from minigpt4.runners.config import RunConfig
from minigpt4.runners.timetable import Moment, Timetable

COUNT_MICRO_STEPS = ("linear_warmup_cosine_lr", "linear_warmup_step_lr")
"""schedules whose warm-up counts micro-steps, as the original's did"""
USUAL_WARM_UP = 5
"""a fifth of the run, as in stage 2 of the original"""


class Schedule(Protocol):
    """Anything that gives the learning rate of a moment."""

    def lr(self, moment: Moment) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The rates a schedule moves between, from `run:`, checked."""

    init: float
    minimum: float
    warmup_start: float
    warmup_steps: int
    decay: float | None = None

    def warmed_up(self, step: int) -> float:
        """Straight line from `warmup_start` to `init`, as the original computes it."""
        rise = (self.init - self.warmup_start) * step / max(self.warmup_steps, 1)
        return min(self.init, self.warmup_start + rise)

    def cosine(self, done: float, whole: float) -> float:
        """Half a cosine wave from `init` (nothing done) to `minimum` (all done)."""
        return (self.init - self.minimum) * 0.5 * (1.0 + math.cos(math.pi * done / whole)) + self.minimum

    def decayed(self, times: int) -> float:
        """`init` times `decay`, so many times over, not below `minimum`."""
        if self.decay is None:
            raise UserError("config.missing", where="run.lr_decay_rate", what="is not set, a step schedule needs it",
                            fix="set it to the factor per epoch, e.g. 0.9")
        return float(max(self.minimum, self.init * (self.decay**times)))


@schedules.register("linear_warmup_cosine_lr")
@dataclass(frozen=True)
class LinearWarmupCosineLR:
    """The original's cosine: warm-up over the step *in the epoch*, the wave over all micro-steps from 0."""

    rates: Rates

    def lr(self, moment: Moment) -> float:
        done = moment.epoch * moment.iterations_per_epoch + moment.iteration
        if done < self.rates.warmup_steps:
            return self.rates.warmed_up(moment.iteration)
        return self.rates.cosine(done, moment.epochs * moment.iterations_per_epoch)


@schedules.register("linear_warmup_step_lr")
@dataclass(frozen=True)
class LinearWarmupStepLR:
    """The original's steps: warm-up in epoch 0 (it never ends early), then `init` × rate^epoch."""

    rates: Rates

    def lr(self, moment: Moment) -> float:
        if moment.epoch == 0:
            return self.rates.warmed_up(moment.iteration)
        return self.rates.decayed(moment.epoch)


@schedules.register("warmup_cosine")
@dataclass(frozen=True)
class WarmupCosine:
    """Corrected cosine: `warmup_steps` optimizer steps up, then half a wave down to `min_lr` at the last step."""

    rates: Rates

    def lr(self, moment: Moment) -> float:
        since = _since_warm_up(self.rates, moment)
        if since < 0:
            return self.rates.warmed_up(moment.step)
        return self.rates.cosine(since, max(moment.steps - 1 - self.rates.warmup_steps, 1))


@schedules.register("warmup_step")
@dataclass(frozen=True)
class WarmupStep:
    """Corrected steps: `warmup_steps` optimizer steps up, then × rate after every epoch counted from there."""

    rates: Rates

    def lr(self, moment: Moment) -> float:
        since = _since_warm_up(self.rates, moment)
        if since < 0:
            return self.rates.warmed_up(moment.step)
        return self.rates.decayed(since // moment.steps_per_epoch)


def build_schedule(run: RunConfig, timetable: Timetable) -> Schedule:
    """The schedule that `run.lr_sched` names.

    Raises `UserError` for an unknown name, a missing decay rate, or a warm-up that the run would never leave.
    """
    rates = Rates(
        init=run.init_lr, minimum=run.min_lr, warmup_steps=run.warmup_steps, decay=run.lr_decay_rate,
        warmup_start=run.warmup_lr if run.warmup_lr >= 0 else run.init_lr,
    )
    _refuse_endless_warm_up(run, timetable)
    schedule: Schedule = schedules.get(run.lr_sched, where="run.lr_sched")(rates)
    schedule.lr(timetable.at(timetable.steps - 1))  # what is missing is reported now and not after the first epoch
    return schedule


def _refuse_endless_warm_up(run: RunConfig, timetable: Timetable) -> None:
    """A run that ends before its warm-up does never reaches the learning rate that was asked for."""
    counts_micro_steps = run.lr_sched in COUNT_MICRO_STEPS
    length = timetable.epochs * timetable.iterations_per_epoch if counts_micro_steps else timetable.steps
    if 0 < run.warmup_steps >= length:
        unit = "micro-steps" if counts_micro_steps else "optimizer steps"
        raise UserError("config.value", where="run.warmup_steps", fix=f"set it to {length // USUAL_WARM_UP}, or train "
                        "longer (run.max_epoch)", what=f"is {run.warmup_steps}, but the run has only {length} {unit}: "
                        f"it would end before the learning rate reaches run.init_lr {run.init_lr:g}")


def _since_warm_up(rates: Rates, moment: Moment) -> int:
    """Optimizer steps since the warm-up ended, negative during it."""
    return moment.step - rates.warmup_steps
