"""Modules whose random initial values nobody will see: a constant stands in their place, which costs little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, ops
from torch.utils._python_dispatch import TorchDispatchMode


def _mean(tensor: Tensor, mean: float = 0.0, std: float = 1.0, **_: object) -> Tensor:
    return tensor.fill_(mean)


def _middle(tensor: Tensor, low: float = 0.0, high: float = 1.0, **_: object) -> Tensor:
    return tensor.fill_((low + high) / 2)


_FILLS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    ops.aten.normal_.default: _mean, ops.aten.uniform_.default: _middle, ops.aten.erfinv_.default: _mean,
}
"""what `torch.nn.init` draws with -> what is done instead; always a value that could have been drawn, since some
initialisations draw again until all values are within their bounds"""


class WithoutRandomFills(TorchDispatchMode):
    """Inside, nothing is drawn: for parts that files fill entirely. Whoever uses it checks that they did."""

    def __torch_dispatch__(self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        return _FILLS.get(func, func)(*args, **(kwargs or {}))
