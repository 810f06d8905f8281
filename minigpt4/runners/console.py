"""What the user sees of a run: the report at the start, a line every few steps, a progress bar on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from torch import nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from minigpt4.runners.job import Job
from minigpt4.runners.logs import StepRecord
from minigpt4.runners.optimizer import decay_groups, trainable
from minigpt4.runners.precision import Precision
from minigpt4.runners.timetable import Timetable

log = logging.getLogger(__name__)


def start_report(job: Job, timetable: Timetable, precision: Precision, start: int) -> list[str]:
    """Which file each part came from, what is trained, for how long and at which rate."""
    run = job.run
    whole = sum(parameter.numel() for parameter in job.model.parameters())
    learns = sum(parameter.numel() for parameter in trainable(job.model).values())
    groups = decay_groups(job.model, job.decay_rule)
    clip = "none" if run.clip_grad_norm is None else f"{run.clip_grad_norm:g}"
    return [
        *job.report,
        *job.task.report(),
        f"trains {learns:,} of {whole:,} parameters ({', '.join(_trained_parts(job.model))}); weight decay "
        f"{run.weight_decay:g} on {len(groups.decayed)} tensors, none on {len(groups.spared)}; clipping {clip}",
        f"{timetable.epochs} epochs x {timetable.iterations_per_epoch} micro-batches, {timetable.window} to a step: "
        f"{timetable.steps} steps" + (f", {start} done" if start else ""),
        f"{run.lr_sched}: {run.warmup_steps} warm-up steps to {run.init_lr:g}, down to {run.min_lr:g}",
        f"{job.group.world_size} process(es) on {job.device.type}, {precision.name}, seed {run.seed}",
    ]


def _trained_parts(model: nn.Module) -> list[str]:
    parts: Mapping[str, nn.Module] = getattr(model, "parts", lambda: dict(model.named_children()))()
    return [name for name, part in parts.items() if trainable(part)]


class Console:
    """Reports for the first rank; the others are silent. Lines go to the log, the bar to a terminal only."""

    def __init__(self, *, speaks: bool, every: int, steps: int, start: int) -> None:
        self._speaks = speaks
        self._every = every
        self._shown = speaks and sys.stderr.isatty()
        self._stack = ExitStack()
        self._bar: Any = None
        self._steps, self._start = steps, start

    def __enter__(self) -> Console:
        if self._shown:
            self._stack.enter_context(logging_redirect_tqdm())
            self._bar = self._stack.enter_context(tqdm(total=self._steps, initial=self._start, unit="step"))
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        if self._speaks:
            log.info("%s", text)

    def step(self, record: StepRecord) -> None:
        """Advance the bar; log a line every `every` steps and at the last."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"{record.samples_per_second:.1f} samples/s, waits {record.data_wait:.0%}, "
                                      f"{record.memory_gib:.1f} GiB", refresh=False)
            self._bar.update(1)
        if record.step % self._every == 0 or record.step == record.steps:
            self.say(record.line())
