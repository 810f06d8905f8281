"""The precision a run computes in.

`run.precision` says it; the original's `amp: True` means fp16 autocast on CUDA. Weights that train stay fp32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from minigpt4.common.errors import UserError
from minigpt4.runners.config import RunConfig

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """Autocast dtype of the forward pass (None = fp32) on one kind of device."""

    name: str
    device_type: str

    def autocast(self) -> AbstractContextManager[Any]:
        """Context of a forward pass."""
        dtype = DTYPES[self.name]
        return nullcontext() if dtype is None else torch.autocast(self.device_type, dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, at work for fp16 only: the other dtypes have fp32's range."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "fp16")


def choose_precision(run: RunConfig, device: torch.device) -> Precision:
    """The precision of a run; `run.precision`, where given, beats the original's `run.amp`.

    Raises `UserError` for fp16 off CUDA, where it is slower than fp32 and has no loss scaling.
    """
    wanted: str = run.precision
    if wanted == "auto":
        wanted = _automatic(run.amp, device)
    if wanted == "fp16" and device.type != "cuda":
        key = "run.amp: True" if run.precision == "auto" else "run.precision: fp16"
        raise UserError("precision.device", where=key, what=f"means fp16, which does not train on {device.type}",
                        fix="use run.precision: bf16")
    return Precision(wanted, device.type)


def _automatic(amp: bool | None, device: torch.device) -> str:
    if amp is not None:
        return "fp16" if amp else "fp32"
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
