"""AdamW, or Muon with AdamW, with the right parameters decayed.

A decay rule is a function of a parameter's name and number of dimensions; which rule holds follows from
`model.behaviour` and is passed in. Betas (0.9, beta2) and eps 1e-8 are the original's
(docs/originals/minigpt4.md#optimizer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from minigpt4.common.errors import UserError
from minigpt4.runners.config import RunConfig
from minigpt4.runners.muon import MuonWithAdamW, hidden_matrices

DecayRule = Callable[[str, int], bool]
"""(parameter name, number of dimensions) -> whether it decays"""

LrFactor = Callable[[str], float]
"""parameter name -> its learning rate in units of the run's"""

BETA1 = 0.9
EPS = 1e-8


def decays_by_dimension(name: str, dimensions: int) -> bool:
    """Ours: matrices and tables decay; biases and norm weights do not. The name says nothing."""
    return dimensions >= 2


def decays_by_name(name: str, dimensions: int) -> bool:
    """The original's: as by dimension, but also never where the name *contains* bias, ln or bn."""
    return dimensions >= 2 and not any(part in name for part in ("bias", "ln", "bn"))


DECAY_RULES: Mapping[str, DecayRule] = {"by_name": decays_by_name, "by_dimension": decays_by_dimension}
"""what `systems.minigpt4.behaviours.Behaviour.decay_rule` names"""


def same_lr(name: str) -> float:
    """Every parameter has the run's learning rate."""
    return 1.0


@dataclass(frozen=True)
class DecayGroups:
    """Trainable parameters in the optimizer's order, which is also the order of its saved state."""

    decayed: tuple[str, ...]
    spared: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.decayed + self.spared


def split_by_decay(parameters: Iterable[tuple[str, int]], rule: DecayRule) -> DecayGroups:
    """Put (name, dimensions) pairs into two groups, order kept."""
    pairs = list(parameters)
    decayed = tuple(name for name, dimensions in pairs if rule(name, dimensions))
    spared = tuple(name for name, dimensions in pairs if not rule(name, dimensions))
    return DecayGroups(decayed, spared)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter of all that is trained, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def decay_groups(model: nn.Module, rule: DecayRule) -> DecayGroups:
    """The groups of a model's trainable parameters."""
    return split_by_decay(((name, parameter.ndim) for name, parameter in trainable(model).items()), rule)


def all_frozen() -> UserError:
    """The sentence for a run that would change nothing."""
    return UserError("train.all_frozen", where="model", what="every part is frozen, nothing would be trained",
                     fix="unfreeze a part, e.g. model.connector.freeze=False")


def build_optimizer(model: nn.Module, run: RunConfig, rule: DecayRule, lr_factor: LrFactor = same_lr
                    ) -> torch.optim.Optimizer:
    """What `run.optimizer` names over the trainable parameters, decayed group first as in the original.

    Parameters whose learning rate is not the run's have groups of their own behind the others; a group's `lr_factor`
    is what its learning rate is multiplied by.

    Raises `UserError` where everything is frozen.
    """
    parameters, groups = trainable(model), decay_groups(model, rule)
    if not parameters:
        raise all_frozen()
    betas = (BETA1, run.beta2)
    matrices = sorted(hidden_matrices(model) & parameters.keys()) if run.optimizer == "muon" else []
    by_adamw = [name for name in groups.decayed if name not in matrices]

    def split(names: Sequence[str], weight_decay: float) -> list[dict[str, Any]]:
        factors = sorted({lr_factor(name) for name in names} - {1.0})
        return [{"params": [parameters[name] for name in names if lr_factor(name) == factor],
                 "weight_decay": weight_decay, "lr_factor": factor} for factor in (1.0, *factors)]

    usual, *other = zip_longest(split(by_adamw, run.weight_decay), split(groups.spared, 0.0))
    rest = [group for pair in (usual, *other) for group in pair if group and (group["params"] or pair is usual)]
    if matrices:
        return MuonWithAdamW([group for group in split(matrices, run.weight_decay) if group["params"]], rest,
                             lr=run.init_lr, weight_decay=run.weight_decay, betas=betas, eps=EPS)
    on_gpu = all(parameter.is_cuda for parameter in parameters.values())
    return torch.optim.AdamW(rest, lr=run.init_lr, betas=betas, eps=EPS, fused=True if on_gpu else None)
