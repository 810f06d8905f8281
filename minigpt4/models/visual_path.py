"""From pixels to image tokens: named stages, each of which reads values by name and writes one or more.

The path starts with what a batch has of its images: pixels, or values that were computed and stored before. A stage
runs where its output is wanted and not there yet, so stored features, two encoders of one image and several hidden
states in one token are the same mechanism. What the last stage writes are the tokens [images, tokens, LLM width].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from minigpt4.models.freezing import is_frozen
from minigpt4.records.batches import PIXELS

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Stage:
    """A module and its place in the path.

    Args:
        module: called with the tensors it reads; returns one tensor, or a tuple where it writes several. It tells
            `out_width` and `out_tokens` of what it writes.
        reads: names of values, in the order of the module's arguments: inputs of the path or what stages write.
        writes: names of its results; empty = the stage's own name.
    """

    module: nn.Module
    reads: tuple[str, ...]
    writes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageMode:
    """How a stage runs."""

    frozen: bool
    """without gradients"""
    half: Tensor | None
    """a parameter in half precision, where it has one: it then runs under autocast of that dtype"""


class VisualPath(nn.Module):
    """Named stages in an order in which each can run.

    Args:
        stages: name -> stage; it may read inputs of the path and whatever stages before it write.

    Raises:
        ValueError: two stages write the same value.
    """

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        super().__init__()
        self.stages = nn.ModuleDict({name: stage.module for name, stage in stages.items()})
        self.reads = {name: stage.reads for name, stage in stages.items()}
        self.writes = {name: stage.writes or (name,) for name, stage in stages.items()}
        written = [value for values in self.writes.values() for value in values]
        if len(set(written)) < len(written):
            raise ValueError(f"a value is written twice: {written}")
        self._modes: dict[str, StageMode] | None = None
        """how stages run, remembered from `train` on: to find it out, all parameters are gone through"""
        self._remembers = False

    @classmethod
    def chain(cls, modules: Mapping[str, nn.Module]) -> VisualPath:
        """A path in which each module reads what the one before it writes, the first one `pixel_values`."""
        sources = dict(zip(modules, [PIXELS, *modules], strict=False))
        return cls({name: Stage(module, (sources[name],)) for name, module in modules.items()})

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that no stage writes: what images must come with."""
        written = {value for values in self.writes.values() for value in values}
        read = dict.fromkeys(value for values in self.reads.values() for value in values)
        return tuple(value for value in read if value not in written)

    @property
    def last(self) -> str:
        """Name of the value that the image tokens are."""
        return self.writes[list(self.stages)[-1]][-1]

    @property
    def tokens_per_image(self) -> int:
        return cast(int, list(self.stages.values())[-1].out_tokens)

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """Image tokens [N, tokens, width] from the inputs of the path, or from values stored in their place."""
        return self.values(values, (self.last,))[self.last]

    def values(self, given: Mapping[str, Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        """All given values and the wanted ones, by name; stages that they do not need do not run.

        Raises:
            ValueError: a value is needed that neither is given nor can be made.
        """
        found = dict(given)
        modes = self._modes or self._modes_now()
        if self._remembers:
            self._modes = modes
        for name in self._needed(found, wanted):
            with _gradients(frozen=modes[name].frozen), _precision(modes[name].half):
                made = self.stages[name](*(found[value] for value in self.reads[name]))
            found |= zip(self.writes[name], made if isinstance(made, tuple) else (made,), strict=True)
        return found

    def train(self, mode: bool = True) -> VisualPath:
        """As any module's. In training mode, what trains is looked up once: call it again after a change of that."""
        self._modes, self._remembers = None, mode
        super().train(mode)
        return self

    def _modes_now(self) -> dict[str, StageMode]:
        frozen = self.frozen_stages()
        return {name: StageMode(name in frozen, _half_of(module)) for name, module in self.stages.items()}

    def frozen_stages(self) -> frozenset[str]:
        """Stages whose output for an image never changes: frozen (so in eval mode), and all before them too."""
        fixed = set(self.inputs)
        frozen = []
        for name, module in self.stages.items():
            if fixed.issuperset(self.reads[name]) and is_frozen(module):
                frozen.append(name)
                fixed.update(self.writes[name])
        return frozenset(frozen)

    def frozen_values(self) -> tuple[str, ...]:
        """The values that never change for an image and that what trains reads: those that are worth storing."""
        frozen = self.frozen_stages()
        fixed = {value for name in frozen for value in self.writes[name]} | set(self.inputs)
        read = {value for name in self.stages if name not in frozen for value in self.reads[name]} or {self.last}
        return tuple(sorted(fixed & read))

    def _needed(self, given: Collection[str], wanted: Sequence[str]) -> list[str]:
        needed = []
        missing = set(wanted) - set(given)
        for name in reversed(list(self.stages)):
            if missing.intersection(self.writes[name]):
                needed.append(name)
                missing -= set(self.writes[name])
                missing |= set(self.reads[name]) - set(given)
        if missing:
            raise ValueError(f"the visual path needs {sorted(missing)} and has {sorted(given)}")
        return needed[::-1]


def _gradients(*, frozen: bool) -> AbstractContextManager[None]:
    return torch.no_grad() if frozen else nullcontext()  # type: ignore[return-value]


def _half_of(module: nn.Module) -> Tensor | None:
    return next((parameter for parameter in module.parameters() if parameter.dtype in HALF), None)


def _precision(half: Tensor | None) -> AbstractContextManager[None]:
    """Autocast in the half precision of a stage's weights, where it has some."""
    if half is None:
        return nullcontext()
    return torch.autocast(half.device.type, dtype=half.dtype)  # type: ignore[return-value]
