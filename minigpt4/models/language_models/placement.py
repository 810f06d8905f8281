"""Where the layers of a language model live: spread over several GPUs, in host memory or on disk, by accelerate.

Layers that do not fit on a GPU visit it for their turn; image tokens and masks follow the embedding's device.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from minigpt4.common.errors import UserError
from minigpt4.models.language_models.quantized import Quantization, is_quantized

DeviceMap = Literal["auto", "sequential"]
"""auto = evenly over the GPUs; sequential = the first GPU is filled first"""
Places = Mapping[str, int | str]
"""name of a module -> number of its GPU, 'cpu' or 'disk'"""
HOST = ("cpu", "disk")


def plan_places(model: PreTrainedModel, how: DeviceMap, max_memory: Mapping[str, Any], dtype: torch.dtype, *,
                quantize: Quantization | None, main_device: torch.device) -> Places:
    """Which module goes where, from sizes alone: the model may be empty.

    Args:
        model: a transformers causal LM.
        how: spread evenly, or one device after the other.
        max_memory: most that may be used: GPU's number, `cpu` or `disk` -> bytes or "10GiB"; empty = what is free now.
        dtype: of the weights that are not quantised.
        quantize: how its linear layers are quantised.
        main_device: where inputs come from; without a GPU the map has none.

    Raises:
        UserError: a key or size of `max_memory` that says nothing; quantised layers that would leave the GPU.
    """
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    allowed = _memory(max_memory, main_device)
    sizes: dict[str, Any] = {"no_split_module_classes": list(model._no_split_modules or []), "dtype": dtype,
                             "special_dtypes": _quantized_dtypes(model, quantize)}
    if how == "auto" and allowed is not None and not any(isinstance(key, int) for key in allowed):
        how = "sequential"  # nothing to balance between
    if how == "auto":
        allowed = get_balanced_memory(model, max_memory=allowed, **sizes)
    places: Places = infer_auto_device_map(model, max_memory=allowed, clean_result=False, **sizes)
    outside = sorted({str(place) for place in places.values()} & set(HOST))
    if quantize and main_device.type == "cuda" and outside:
        raise UserError("device.quantized", where="model.llm.device_map", what=f"puts {quantize} layers on "
                        f"{' and '.join(outside)}, where bitsandbytes cannot fetch them from",
                        fix="take model.llm.quantize=nf4, give max_memory more of the GPUs, or offload in 16 bit")
    return places


def device_of(places: Places, name: str) -> torch.device:
    """Where a tensor is put when it is read; what goes to disk waits in host memory."""
    home = max((module for module in places if not module or name == module or name.startswith(f"{module}.")), key=len)
    place = places[home]
    return torch.device("cuda", place) if isinstance(place, int) else torch.device("cpu" if place == "disk" else place)


def dispatch(model: Any, places: Places, main_device: torch.device, offload_folder: str | None) -> None:
    """Bring every layer to its place and let inputs travel with the forward pass.

    Raises:
        UserError: layers go to disk, and no folder is given.
    """
    from accelerate import dispatch_model

    folder = None
    if "disk" in places.values():
        if offload_folder is None:
            number = sum(place == "disk" for place in places.values())
            raise UserError("device.too_small", where="model.llm.device_map",
                            what=f"leaves {number} modules that fit on no device and not in host memory",
                            fix="give model.llm.offload_folder=DIR (slow), or take model.llm.quantize=nf4")
        Path(offload_folder).mkdir(parents=True, exist_ok=True)
        # held by the model: the files go when it goes
        model.offloaded = tempfile.TemporaryDirectory(dir=offload_folder, prefix="layers_")
        folder = model.offloaded.name
    main = main_device.index or 0 if main_device.type == "cuda" else main_device.type
    dispatch_model(model, dict(places), main_device=main, offload_dir=folder, force_hooks=True)
    model.hf_device_map = dict(places)


def is_placed(model: nn.Module) -> bool:
    """True for a model whose layers were dispatched; it is not moved any more."""
    return hasattr(model, "hf_device_map")


def input_device(layer: nn.Module, weight: Tensor) -> torch.device:
    """Where a layer works, which is not where its weight is while it waits in host memory or on disk."""
    hook = getattr(layer, "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    if device is None:
        return weight.device
    return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)


def _memory(max_memory: Mapping[str, Any], main_device: torch.device) -> dict[int | str, Any] | None:
    """The keys as accelerate takes them; without a GPU, host memory and disk."""
    from accelerate.utils import convert_file_size_to_int

    if not max_memory:
        return None
    allowed: dict[int | str, Any] = {}
    for key, size in max_memory.items():
        name = int(key) if str(key).isdigit() else str(key)
        if name not in HOST and not isinstance(name, int):
            raise UserError("config.value", where="model.llm.max_memory", what=f"names '{key}'",
                            fix="use the numbers of GPUs, cpu and disk")
        try:
            allowed[name] = convert_file_size_to_int(size)
        except ValueError as error:
            raise UserError("config.value", where=f"model.llm.max_memory.{key}", what=f"is '{size}'",
                            fix="write bytes, or 10GiB, 800MB") from error
    if main_device.type == "cuda":
        allowed.setdefault("cpu", 0)
    return allowed


def _quantized_dtypes(model: nn.Module, quantize: Quantization | None) -> dict[str, Any]:
    from accelerate.utils import CustomDtype

    dtype = CustomDtype.INT4 if quantize == "nf4" else torch.int8
    return {f"{name}.weight": dtype for name, layer in model.named_modules() if is_quantized(layer)}
