"""Load files into the parts of a model by their plans, and report what came from where.

Tensors are named `part.key`. A part whose weights come from files must be made whole; what came from where, what was
left out and why is one line each, never hundreds of key names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from minigpt4.common.blank_tensors import fault_of
from minigpt4.common.config.paths import portable
from minigpt4.common.errors import UserError
from minigpt4.common.sharded_tensors import fill
from minigpt4.models.language_models.quantized import is_quantized, quantized_weight
from minigpt4.models.lora import base_names, base_state
from minigpt4.weights.files.fingerprint import FingerprintHash
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.plan import ConversionPlan, Made, PlanOf, Shape, convert
from minigpt4.weights.plans.readings import Reading, read_as_it_fits

Source = Literal["file", "bundle", "random", "none"]


@dataclass(frozen=True)
class PartOrigin:
    """Where a part's weights are from. `fingerprint` is that of the file's tensors, empty for random ones."""

    source: Source
    place: str = ""
    fingerprint: str = ""
    num_tensors: int = 0

    def as_stored(self) -> dict[str, str | int]:
        """What a manifest says of it (the fingerprint is called `identity` there)."""
        return {"source": self.source, "place": portable(self.place), "identity": self.fingerprint,
                "num_tensors": self.num_tensors}

    def __str__(self) -> str:
        if self.source == "none":
            return "no weights"
        if self.source == "random":
            return "random initial weights"
        return f"{self.num_tensors} tensors from {self.place}"


@dataclass(frozen=True)
class Destination:
    """Where the tensors of an empty part go.

    Args:
        dtype: of floating-point tensors; None = the file's.
        device: key of a tensor -> its device.
    """

    dtype: torch.dtype | None
    device: Callable[[str], torch.device]


AS_IN_FILE = Destination(None, lambda key: torch.device("cpu"))


def target_shapes(parts: Mapping[str, nn.Module]) -> dict[str, tuple[int, ...]]:
    """`part.key` -> shape of everything the parts keep (parameters and persistent buffers) but adapters."""
    return {f"{part}.{key}": tuple(value.shape) for part, module in parts.items()
            for key, value in base_state(module).items()}


def load_file(plan: PlanOf | ConversionPlan, file: TensorFile, parts: Mapping[str, nn.Module],
              destinations: Mapping[str, Destination] | None = None) -> tuple[dict[str, PartOrigin], list[str]]:
    """Load one file by its plan.

    Args:
        plan: names tensors of the parts; or what chooses it by the file's content.
        file: the opened file.
        parts: the parts it may fill.
        destinations: dtype and devices of parts on the meta device; without one, tensors stay as in the file.

    Returns:
        origin of each part that got a tensor, and the lines of the report.

    Raises:
        UserError: keys or shapes that do not fit; blank tensors.
    """
    shapes = target_shapes(parts)
    reading = read_as_it_fits(file, plan, shapes)
    names = {part: base_names(module) for part, module in parts.items()}
    hashes: dict[str, FingerprintHash] = {}
    for made, as_in_file in _converted(reading, shapes):
        target, tensor = made.target, made.tensor
        part, _, key = target.partition(".")
        _refuse_blank(made, file)
        _refuse_other_numbers(parts[part], names[part][key], target, tensor, file)
        hashes.setdefault(part, FingerprintHash()).add(key, as_in_file)
        _assign(parts[part], names[part][key], tensor, (destinations or {}).get(part, AS_IN_FILE))
        del made, tensor, as_in_file  # before the next one is read
    origins = _origins(file, hashes)
    filled = ", ".join(f"{part} {origin.num_tensors} tensors" for part, origin in origins.items())
    return origins, [f"{file.path}: {filled}", *reading.notes]


def _converted(reading: Reading, shapes: Mapping[str, Shape]) -> Iterator[tuple[Made, Tensor]]:
    """Each target with its tensor, and what fingerprints hash of it."""
    assigned = {each.target: each for each in reading.matched.assignments}
    for made in convert(reading.matched, reading.file, shapes):
        yield made, assigned[made.target].as_in_file(made.tensor, reading.file)
        del made  # before the next one is read


def _origins(file: TensorFile, hashes: Mapping[str, FingerprintHash]) -> dict[str, PartOrigin]:
    return {part: PartOrigin("file", str(file.path), h.hexdigest(), len(h)) for part, h in hashes.items()}


def _assign(module: nn.Module, key: str, tensor: Tensor, destination: Destination) -> None:
    owner_name, _, leaf = key.rpartition(".")
    owner = module.get_submodule(owner_name)
    old = getattr(owner, leaf)
    if not old.is_meta:
        fill(old, tensor)
        return
    value = tensor.to(destination.dtype) if destination.dtype is not None and tensor.is_floating_point() else tensor
    if leaf == "weight" and is_quantized(owner):
        owner.weight = quantized_weight(owner, value, destination.device(key))
    else:
        # a copy even where nothing changes: the file's own memory is a map of the file
        setattr(owner, leaf, nn.Parameter(value.to(destination.device(key), copy=True), requires_grad=False))


def _refuse_other_numbers(module: nn.Module, name: str, target: str, tensor: Tensor, file: TensorFile) -> None:
    """Whole or complex numbers where fractions belong: copying would convert them without a word."""
    owner, _, leaf = name.rpartition(".")
    wanted: Tensor = getattr(module.get_submodule(owner), leaf)
    if wanted.is_floating_point() and not tensor.is_floating_point():
        raise UserError("weights.dtype", where=str(file.path), fix="take another copy of the file",
                        what=f"'{target}' has {str(tensor.dtype).removeprefix('torch.')} numbers, floating-point ones "
                        "belong there")


def _refuse_blank(made: Made, file: TensorFile) -> None:
    """Weights that were never trained or came out broken: the file is a placeholder or damaged."""
    if fault := fault_of(made.tensor, made.extremes):
        raise UserError(
            "weights.blank", where=str(file.path), what=f"'{made.target}' {fault}",
            fix="these are not trained weights; download the file again",
        )


def fingerprint_file(plan: PlanOf | ConversionPlan, file: TensorFile, parts: Mapping[str, nn.Module]
                  ) -> dict[str, PartOrigin]:
    """The origins that `load_file` would give, one tensor in memory at a time and none kept.

    Args:
        plan: names tensors of the parts; or what chooses it by the file's content.
        file: the opened file.
        parts: the parts it may fill, on the meta device too.

    Raises:
        UserError: keys or shapes that do not fit; tensors that are not finite.
    """
    shapes = target_shapes(parts)
    hashes: dict[str, FingerprintHash] = {}
    for made, as_in_file in _converted(read_as_it_fits(file, plan, shapes), shapes):
        part, _, key = made.target.partition(".")
        hashes.setdefault(part, FingerprintHash()).add(key, as_in_file)
        del made, as_in_file  # before the next one is read
    return _origins(file, hashes)
