"""What a runner is given: everything of a run, made ready by `start/setup.py` or by a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from minigpt4.common.process_group import ProcessGroup
from minigpt4.runners.checkpoint import BundleKeeper
from minigpt4.runners.config import RunConfig
from minigpt4.runners.optimizer import DecayRule, LrFactor, same_lr
from minigpt4.runners.parallel.strategy import Strategy
from minigpt4.runners.watching import Watch
from minigpt4.tasks.stored_features import FeatureStore
from minigpt4.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """What a checkpoint of the original runner brings beside its weights (docs/originals/minigpt4.md#checkpoints)."""

    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any] = field(default_factory=dict)
    epoch: int
    """last epoch done"""
    place: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one model on one task."""

    run: RunConfig
    model: nn.Module
    """on its device, frozen where it should be"""
    task: Task
    group: ProcessGroup
    device: torch.device
    bundle: BundleKeeper
    decay_rule: DecayRule
    lr_factor: LrFactor = same_lr
    resolved_config: str = ""
    """YAML that repeats the run"""
    settings: Mapping[str, str] = field(default_factory=dict)
    """what must be the same on resume, flat"""
    report: tuple[str, ...] = ()
    """lines for the start: files, behaviour, parts"""
    vocab_size_to_beat: int | None = None
    """vocabulary of a loaded, frozen language model, whose first loss must be below its logarithm; else None"""
    imports: tuple[str, ...] = ()
    """modules that the config imports, which whoever loads the bundle must allow"""
    taken_over: TakenOver | None = None
    store: FeatureStore | None = None
    """what frozen encoders say of images, where it is kept"""
    watch: Watch | None = None
    """what is asked as training goes on; answered on the first rank"""
    strategy: Strategy
    """how the processes share the model"""
