"""Muon for the matrices of a model, AdamW for everything else, as one optimizer.

Muon makes every update of a matrix orthogonal (Jordan, 2024; torch has it from 2.9 on). Its steps are scaled to the
size of AdamW's (arXiv 2502.16982), so one learning rate and one decay serve both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from minigpt4.common.errors import UserError


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers that step together.

    Args:
        matrices: [rows, columns] each, updated by Muon.
        rest: parameter groups for AdamW.
        lr, weight_decay: of both; a group of `rest` may say otherwise.
        betas, eps: of AdamW.

    Raises:
        UserError: this torch has no Muon.
    """

    def __init__(self, matrices: list[nn.Parameter], rest: list[dict[str, Any]], *, lr: float, weight_decay: float,
                 betas: tuple[float, float], eps: float) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise UserError("torch.version", where="run.optimizer",
                            what=f"is muon, but torch {torch.__version__} has none",
                            fix="install torch 2.9 or newer, or use run.optimizer=adamw")
        self._muon = torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
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
        """The very groups of the two: whoever sets a learning rate here sets it there."""
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
