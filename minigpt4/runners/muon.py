"""Muon for the matrices of a model, AdamW for everything else, as one optimizer.

Muon makes every update of a matrix nearly orthogonal (Jordan, 2024), here scaled to the size of AdamW's updates
(arXiv 2502.16982), so that one learning rate and one decay serve both. `torch.optim.Muon` does the same one matrix at a
time in bfloat16, which a CPU without such arithmetic takes three times as long for; matrices of equal shape go
through together here, in their own precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

MOMENTUM = 0.95
POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""of Newton-Schulz: five rounds bring every singular value near 1"""
ROUNDS = 5
ADAMW_SIZE = 0.2
"""root mean square of an AdamW update in units of the learning rate"""


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal.

    Args:
        matrices: parameters [rows, columns], or groups of them.
        lr, weight_decay: as AdamW's.
    """

    def __init__(self, matrices: ParamsT, *, lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "Muon computes no loss"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                updates = orthogonal(torch.stack([self._momentum(parameter) for parameter in parameters]))
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-group["lr"] * ADAMW_SIZE * max(shape) ** 0.5)

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        """The gradient after Nesterov's momentum."""
        gradient = parameter.grad
        assert gradient is not None, "asked for parameters with a gradient only"
        buffer = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(gradient))
        buffer.lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(buffer, MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """[N, rows, columns] -> the same with singular values near 1, by Newton-Schulz."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = POLYNOMIAL
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers that step together.

    Args:
        matrices: parameters [rows, columns], or groups of them, updated by Muon.
        rest: parameter groups for AdamW.
        lr, weight_decay: of both; a group of `rest` may say otherwise.
        betas, eps: of AdamW.
    """

    def __init__(self, matrices: ParamsT, rest: list[dict[str, Any]], *, lr: float, weight_decay: float,
                 betas: tuple[float, float], eps: float) -> None:
        self._muon = Muon(matrices, lr=lr, weight_decay=weight_decay)
        self._adamw = torch.optim.AdamW(rest, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps)
        super().__init__([*self._muon.param_groups, *self._adamw.param_groups], {"lr": lr})
        self._share_groups()

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "neither of the two is given a closure"
        self._muon.step()
        self._adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._muon.load_state_dict(dict(state_dict["muon"]))
        self._adamw.load_state_dict(dict(state_dict["adamw"]))
        self._share_groups()

    def _share_groups(self) -> None:
        """The same group objects as the two: a learning rate set here is set there."""
        self.param_groups = [*self._muon.param_groups, *self._adamw.param_groups]


def hidden_matrices(model: nn.Module) -> set[str]:
    """Names of the weights that Muon is for: linear layers within the model.

    Embeddings and the output layer over the vocabulary, tied or not, are tables of words, not maps between features.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    outputs = {id(layer.weight) for module in model.modules()
               if (layer := getattr(module, "lm_head", None)) is not None}
    linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    return {name for name, parameter in model.named_parameters() if id(parameter) in linear - tables - outputs}
