"""Low-rank adapters (LoRA, arXiv 2106.09685) on a frozen part, by peft; on a quantised language model it is QLoRA.

peft puts its layers around the part's own, which changes the names in `state_dict()`. Everything that stores or loads
weights goes by plain names instead: `base_names` are the part's as if there were no adapters, `adapter_names` the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from minigpt4.common.config.fields import check_values
from minigpt4.common.config.ranges import Chance, NonNegativeInt, PositiveInt
from minigpt4.common.errors import UserError
from minigpt4.common.extras import import_extra
from minigpt4.models.language_models.quantized import hide_chatter, is_quantized

ADAPTER = "default"
"""peft's name of the one set of adapters a part has"""
WRAPPED = "base_layer"
"""peft's name of the layer that an adapter is put around"""
MATRICES = frozenset({"lora_A", "lora_B"})


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Adapters of one part; r = 0 means none."""

    r: NonNegativeInt = 0
    """rank; 0 = no adapters"""
    alpha: PositiveInt = 32
    """scale: what the adapters add is multiplied by alpha / r"""
    target_modules: list[str] = field(default_factory=list)
    """names of the linear layers they are put on; empty = query and value layers of the part's attention"""
    dropout: Chance = 0.05
    """dropout of their input while they train"""

    def __post_init__(self) -> None:
        check_values(self, prefix="lora.")


def import_peft() -> Any:
    """peft, or the sentence that says how to get it. It imports bitsandbytes where that is installed."""
    hide_chatter()
    return import_extra("peft", "peft", where="model.*.lora", without="lora.r=0")


def add_adapters(part: Any, config: LoraConfig, *, where: str) -> int:
    """Put adapters on a frozen part. They start without effect, train in fp32, and leave the part's weights alone.

    Args:
        part: frozen, in its final dtype, quantised or not; its weights may still be empty.
        config: with r > 0.
        where: key of the part in the config, for errors.

    Returns:
        number of layers that got one.

    Raises:
        UserError: peft is not installed; a name fits no linear layer.
    """
    peft = import_peft()
    layers = adapted_layers(part, config, where=where)
    kinds = {type(layer).__name__ for layer in part.modules() if is_quantized(layer)}
    part.is_loaded_in_8bit, part.is_loaded_in_4bit = "Linear8bitLt" in kinds, "Linear4bit" in kinds  # peft asks these
    made = peft.LoraConfig(r=config.r, lora_alpha=config.alpha, target_modules=_targets(part, config),
                           lora_dropout=config.dropout, bias="none")
    with _as_if_filled(layers):
        peft.inject_adapter_in_model(made, part, adapter_name=ADAPTER)
    for name, parameter in part.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()
    return len(adapter_names(part)) // len(MATRICES)


@contextmanager
def _as_if_filled(layers: Sequence[nn.Linear]) -> Iterator[None]:
    """Empty weights are a repeated zero meanwhile: peft brings adapters to their device, where they would be lost."""
    empty = {layer: layer.weight for layer in layers if layer.weight.is_meta}
    for layer, weight in empty.items():
        layer.weight = nn.Parameter(torch.zeros((), dtype=weight.dtype).expand(weight.shape), requires_grad=False)
    try:
        yield
    finally:
        for layer, weight in empty.items():
            layer.weight = weight


def adapted_layers(part: nn.Module, config: LoraConfig, *, where: str) -> list[nn.Linear]:
    """The linear layers that adapters are added to; the part may be empty.

    Raises:
        UserError: a name fits no linear layer. An output layer that is the input embedding cannot be adapted alone.
    """
    tables = {id(layer.weight) for layer in part.modules() if isinstance(layer, nn.Embedding)}
    layers = {name: layer for name, layer in part.named_modules()
              if isinstance(layer, nn.Linear) and id(layer.weight) not in tables}
    there = ", ".join(sorted({name.rpartition(".")[2] for name in layers})) or "none"
    fix = f"name some of its linear layers ({there}), or set lora.r=0"
    targets = _targets(part, config)
    if not targets:
        raise UserError("lora.targets", where=f"{where}.lora.target_modules", fix=fix,
                        what=f"is empty, and {type(part).__name__} has no usual ones")
    for target in targets:
        if not any(_fits(name, target) for name in layers):
            raise UserError("lora.targets", where=f"{where}.lora.target_modules", fix=fix,
                            what=f"'{target}' is not a linear layer of {type(part).__name__}")
    return [layer for name, layer in layers.items() if any(_fits(name, target) for target in targets)]


def merge_adapters(part: nn.Module) -> None:
    """Add the adapters to the weights beside them and remove them. The weights are not quantised."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in [(name, layer) for name, layer in part.named_modules() if isinstance(layer, BaseTunerLayer)]:
        layer.merge()
        parent, _, leaf = name.rpartition(".")
        setattr(part.get_submodule(parent), leaf, layer.get_base_layer())
    del part.peft_config


def adapters_of(part: Any) -> LoraConfig | None:
    """What adapters a part has, target names written out; None for none."""
    if not getattr(part, "peft_config", None):
        return None
    made = part.peft_config[ADAPTER]
    return LoraConfig(r=made.r, alpha=made.lora_alpha, target_modules=sorted(made.target_modules),
                      dropout=made.lora_dropout)


def is_adapter(name: str) -> bool:
    """True for the name of an adapter's tensor."""
    return not MATRICES.isdisjoint(name.split("."))


def base_names(part: nn.Module) -> dict[str, str]:
    """Name of each of the part's own tensors without adapters -> its name in `state_dict()`."""
    return {name.replace(f".{WRAPPED}.", "."): name for name in part.state_dict() if not is_adapter(name)}


def adapter_names(part: nn.Module) -> dict[str, str]:
    """Plain name of each tensor of the adapters (`….q_proj.lora_A.weight`) -> its name in `state_dict()`."""
    return {name.replace(f".{ADAPTER}.", "."): name for name in part.state_dict() if is_adapter(name)}


def base_state(part: nn.Module) -> dict[str, torch.Tensor]:
    """The part's own tensors as if it had no adapters."""
    state = part.state_dict()
    return {plain: state[name] for plain, name in base_names(part).items()}


def adapter_state(part: nn.Module) -> dict[str, torch.Tensor]:
    """The adapters' tensors by plain name."""
    state = part.state_dict()
    return {plain: state[name] for plain, name in adapter_names(part).items()}


def base_is_frozen(part: nn.Module) -> bool:
    """True where nothing but adapters trains."""
    return not any(value.requires_grad for name, value in part.named_parameters() if not is_adapter(name))


def _targets(part: nn.Module, config: LoraConfig) -> list[str]:
    return config.target_modules or list(getattr(part, "LORA_TARGETS", ()))


def _fits(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
