"""Cross-entropy of the next token from hidden states, a few rows of logits at a time.

The gradient of the hidden states is made in the forward pass, while a chunk's logits are there; so the logits of all
positions are never in memory, and the output layer is not gone through again. Its own gradient too, where it trains.

P positions, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CHUNK = 1 << 22
"""logits that are made at once: 16 MiB in float32, which stays near the processor and costs a GPU nothing"""


def is_plain(head: nn.Module | None) -> TypeGuard[nn.Linear]:
    """Whether an output layer is nothing but its weights: no adapter, quantised or spread over devices."""
    return type(head) is nn.Linear and not hasattr(head, "_hf_hook") and type(head.weight) is nn.Parameter


def summed_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Sum over positions of the cross-entropy of `hidden @ weight.T + bias`, as float32 from float32 logits.

    Args:
        hidden: [P, D].
        weight: [V, D] of the output layer.
        bias: [V] of the output layer, or None.
        targets: [P] int64, the right tokens.

    Returns:
        [] float32.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):  # as a linear layer would do
        half = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(half), weight.to(half)
        bias = None if bias is None else bias.to(half)
    with torch.autocast(device, enabled=False):
        loss: Tensor = _SummedCrossEntropy.apply(hidden, weight, bias, targets)  # type: ignore[no-untyped-call]
    return loss


class _Context(Protocol):
    """What torch hands to both passes."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _SummedCrossEntropy(torch.autograd.Function):

    @staticmethod
    def forward(ctx: _Context, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        wants_hidden, wants_weight, wants_bias, _ = ctx.needs_input_grad
        of_hidden = torch.empty_like(hidden) if wants_hidden else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        of_bias = torch.zeros_like(weight[:, 0], dtype=torch.float32) if wants_bias else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        rows = max(1, CHUNK // weight.shape[0])
        for first in range(0, hidden.shape[0], rows):
            part, wanted = hidden[first : first + rows], targets[first : first + rows].unsqueeze(1)
            logits = torch.nn.functional.linear(part, weight, bias).float()
            right = logits.gather(1, wanted)
            largest = logits.amax(dim=1, keepdim=True)
            shares = logits.sub_(largest).exp_()
            sums = shares.sum(dim=1, keepdim=True)
            total += (sums.log() + largest - right).sum()
            if not any(ctx.needs_input_grad):
                continue
            error = shares.div_(sums).scatter_add_(1, wanted, -torch.ones_like(sums)).to(weight.dtype)
            if of_hidden is not None:
                torch.mm(error, weight, out=of_hidden[first : first + rows])
            if of_weight is not None:
                of_weight += error.T @ part
            if of_bias is not None:
                of_bias += error.sum(dim=0)
        ctx.save_for_backward(*(each.to(weight.dtype) for each in (of_hidden, of_weight, of_bias) if each is not None))
        return total

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: _Context, of_loss: Tensor) -> tuple[Tensor | None, ...]:
        made = iter(ctx.saved_tensors)
        return *(next(made) * of_loss if wanted else None for wanted in ctx.needs_input_grad[:3]), None
