"""From gradients to updated weights: learning rate, loss scale, clipping, optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from minigpt4.common.sharded_tensors import whole
from minigpt4.runners.schedules import Schedule
from minigpt4.runners.timetable import Moment


class Update:
    """Turns what backward left in `.grad` into one optimizer step.

    Args:
        optimizer: holds the parameters that train.
        schedule: learning rate of a moment.
        scaler: loss scale; disabled unless the run is fp16.
        clip: largest gradient norm, or None.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Schedule, scaler: torch.amp.GradScaler,
                 clip: float | None) -> None:
        self.scaler = scaler
        self._optimizer = optimizer
        self._schedule = schedule
        self._clip = clip
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def lr(self, moment: Moment) -> float:
        return self._schedule.lr(moment)

    def apply(self, moment: Moment) -> float:
        """One optimizer step; returns the norm of the gradient before clipping.

        Where the norm is not finite nothing changes but the loss scale (fp16 overflows now and then by design).
        """
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.lr(moment) * group.get("lr_factor", 1.0)  # older checkpoints hold none
        self.scaler.unscale_(self._optimizer)
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = whole(get_total_norm(gradients))
        if self._clip is not None:
            clip_grads_with_norm_(self._parameters, self._clip, norm)
        known = float(norm)  # waits for the device, once a step
        if math.isfinite(known) or self.scaler.is_enabled():
            self.scaler.step(self._optimizer)  # an enabled scaler skips overflows itself
        self.scaler.update()
        self.skip()
        return known

    def skip(self) -> None:
        """Forget the gradient."""
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """For a checkpoint: optimizer and loss scale."""
        return {"optimizer": self._optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, optimizer: Mapping[str, Any], scaler: Mapping[str, Any]) -> None:
        self._optimizer.load_state_dict(dict(optimizer))
        if scaler:
            self.scaler.load_state_dict(dict(scaler))
