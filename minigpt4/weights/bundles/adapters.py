"""Adapters (LoRA) in a bundle: tensors named `lora.<part>.<key>` beside the projection, and an entry in the manifest.

The part they belong to is stored, or named by its fingerprint, as if it had none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from minigpt4.common.errors import UserError
from minigpt4.common.sharded_tensors import fill
from minigpt4.models.lora import LoraConfig, adapter_names, adapter_state, adapters_of
from minigpt4.weights.bundles.manifest import StoredAdapters
from minigpt4.weights.files.fingerprint import FingerprintHash
from minigpt4.weights.files.shard_writer import LazyTensor, lazy_copy
from minigpt4.weights.plans.plan import ConversionPlan, Ignorable, Rule, convert, match

if TYPE_CHECKING:
    from minigpt4.weights.bundles.bundle import Bundle

PREFIX = "lora."
NOT_WHOLE = Ignorable(f"{PREFIX}*", "adapters")
"""for plans that read whole parts of a bundle"""


def adapter_tensors(name: str, part: nn.Module) -> list[LazyTensor]:
    """The adapters of a part as a bundle names them."""
    return [lazy_copy(f"{PREFIX}{name}.{key}", value) for key, value in adapter_state(part).items()]


def manifest_entry(part: nn.Module, fingerprint: FingerprintHash) -> dict[str, Any]:
    """What the manifest says of a part's adapters, whose tensors were hashed; empty for a part without."""
    made = adapters_of(part)
    if made is None:
        return {}
    return {"lora": {"r": made.r, "alpha": made.alpha, "target_modules": made.target_modules,
                     "identity": fingerprint.hexdigest()}}


def load_adapters(bundle: Bundle, parts: Mapping[str, nn.Module]) -> list[str]:
    """Fill the adapters of a model from a bundle that has some; those it has not stay as they began.

    Args:
        bundle: an opened bundle.
        parts: with adapters put on.

    Returns:
        lines of the report.

    Raises:
        UserError: the model lacks adapters that the bundle has, or has others; names or shapes that do not fit.
    """
    stored = {name: entry.lora for name, entry in bundle.manifest.parts.items() if entry.lora is not None}
    for name, entry in stored.items():
        _compare(bundle, name, entry, adapters_of(parts[name]))
    if not stored:
        return []
    file = bundle.file
    targets = {f"{PREFIX}{part}.{key}": (part, name) for part in stored
               for key, name in adapter_names(parts[part]).items()}
    state = {part: parts[part].state_dict() for part in stored}
    shapes = {target: tuple(state[part][name].shape) for target, (part, name) in targets.items()}
    whole = tuple(Ignorable(f"{part}.*", "whole parts") for part in bundle.stored_parts)
    plan = ConversionPlan("set of adapters", (Rule(f"{PREFIX}*", (f"{PREFIX}*",)),), whole)
    with torch.no_grad():
        for made in convert(match(plan, file.shapes, shapes, where=str(file.path)), file, shapes):
            target, value = made.target, made.tensor
            part, name = targets[target]
            if not value.is_floating_point():
                raise UserError("weights.dtype", where=str(file.path), fix="take another copy of the bundle",
                                what=f"'{target}' has {str(value.dtype).removeprefix('torch.')} numbers, "
                                "floating-point ones belong there")
            fill(state[part][name], value)
    return [f"{file.path}: adapters of {', '.join(stored)}, {len(targets)} tensors"]


def _compare(bundle: Bundle, name: str, wanted: StoredAdapters, here: LoraConfig | None) -> None:
    if here is not None and (here.r, here.alpha, here.target_modules) == (
            wanted.r, wanted.alpha, wanted.target_modules):
        return
    found = f"r {here.r}, alpha {here.alpha} on {', '.join(here.target_modules)}" if here else "none"
    targets = ", ".join(wanted.target_modules)
    raise UserError(
        "bundle.adapters", where=str(bundle.folder),
        what=f"has adapters on the {name} of r {wanted.r}, alpha {wanted.alpha:g} on {targets}; "
        f"this config has {found}",
        fix=f"set model.{name}.lora to the bundle's values, or merge them first: minigpt4 weights merge",
    )
