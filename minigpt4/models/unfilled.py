"""Modules whose random initial values nobody will see: a constant stands in their place, which costs little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, ops
from torch.utils._python_dispatch import TorchDispatchMode


def _mean(tensor: Tensor, mean: float = 0.0, std: float = 1.0, **_: object) -> Tensor:
    return tensor.fill_(mean)


def _middle(tensor: Tensor, low: float = 0.0, high: float = 1.0, **_: object) -> Tensor:
    return tensor.fill_((low + high) / 2)


_FILLS: dict[Callable[..., object], Callable[..., Tensor]] = {
    ops.aten.normal_.default: _mean, ops.aten.uniform_.default: _middle, ops.aten.erfinv_.default: _mean,
}
"""what `torch.nn.init` draws with -> what is done instead; always a value that could have been drawn, since some
initialisations draw again until all values are within their bounds"""


class WithoutRandomFills(TorchDispatchMode):
    """Inside, nothing is drawn: for parts that files fill entirely. Whoever uses it checks that they did."""

    def __torch_dispatch__(self, func: Callable[..., object], types: Sequence[type], args: tuple[object, ...] = (),
                           kwargs: Mapping[str, object] | None = None) -> object:
        return _FILLS.get(func, func)(*args, **(kwargs or {}))
