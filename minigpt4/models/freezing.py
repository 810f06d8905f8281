"""Freezing a part: no gradient and no way back into training mode.

The original replaces `train` of its frozen parts, so that their dropout is never active
(docs/originals/minigpt4.md#freezing).
Here the model asks `is_frozen` and leaves those parts in eval mode.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import torch
from torch import nn

from minigpt4.common.errors import UserError, nearest

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def freeze(module: nn.Module) -> None:
    """No parameter of the module trains; it goes to eval mode."""
    module.requires_grad_(False)
    module.eval()


def train(module: nn.Module, only: Sequence[str] = ()) -> None:
    """Let the module's parameters train: all of them, or those whose names one of the patterns fits (`layers.0.*`).

    Raises:
        UserError: a pattern fits no parameter; `where` is the key.
    """
    parameters = dict(module.named_parameters())
    for pattern in only:
        if not fnmatch.filter(parameters, pattern):
            raise UserError("config.value", where="train_only", what=f"'{pattern}' matches no parameter of "
                            f"{type(module).__name__}", fix=nearest(pattern, parameters))
    for name, parameter in parameters.items():
        parameter.requires_grad_(not only or any(fnmatch.fnmatchcase(name, pattern) for pattern in only))


def is_frozen(module: nn.Module) -> bool:
    """True where no parameter trains. A module without parameters is frozen too."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def cast_linear_layers(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast convolutions and linear layers only, as in docs/originals/minigpt4.md#precision."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            layer.to(dtype)
