"""The state of an optimizer in a checkpoint: whole in `state.pt`, or its tensors in `optimizer/`, by all ranks.

`optimizer/` is written where parameters are sharded, by PyTorch's distributed checkpoint as safetensors (its own format
is a pickle). Tensors are called `<parameter>/<what>`, and each rank writes the rows that it holds. Any number of ranks
can read either form, a single process too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter, TensorStorageMetadata
from torch.distributed.checkpoint.api import CheckpointException

from minigpt4.common.errors import UserError
from minigpt4.common.sharded_tensors import is_sharded, sharded_like

FOLDER = "optimizer"


def in_order_of(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """What is trained, by name, in the order of an optimizer's state."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    return {names[id(parameter)]: parameter for group in optimizer.param_groups for parameter in group["params"]}


def write_shards(folder: Path, state: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Write the rows that this rank holds into `folder/optimizer`; all ranks do it at the same time.

    Args:
        folder: the checkpoint, which all ranks see.
        state: of an optimizer of sharded parameters.
        names: of its parameters, in its order.

    Returns:
        the rest of the state, for `state.pt`.

    Raises:
        UserError: a rank could not write; all ranks raise it.
    """
    tensors = {f"{names[number]}/{key}": value for number, values in state["state"].items()
               for key, value in values.items() if isinstance(value, Tensor) and value.ndim}
    writer = HuggingFaceStorageWriter(str(folder / FOLDER), save_distributed=True)
    try:
        dcp.save(dict(tensors), storage_writer=writer)
    except CheckpointException as error:
        reasons = "; ".join(f"rank {rank}: {reason}" for rank, (reason, _) in error.failures.items())
        raise UserError("file.write", where=str(folder / FOLDER), what=f"cannot be written ({reasons})",
                        fix="make room on the disk") from error
    rest = {number: {key: value for key, value in values.items() if f"{names[number]}/{key}" not in tensors}
            for number, values in state["state"].items()}
    return {"state": rest, "param_groups": state["param_groups"]}


def restored(folder: Path, saved: Mapping[str, Any], parameters: Mapping[str, nn.Parameter]) -> dict[str, Any]:
    """The state of an optimizer that a checkpoint holds in either form, sharded as its parameters are.

    Args:
        folder: the checkpoint.
        saved: what `state.pt` holds.
        parameters: name -> parameter, in the optimizer's order.

    Raises:
        UserError: `optimizer/` lacks a tensor, or has one of another shape.
    """
    order = list(parameters.values())
    state = {number: {key: _as_its_parameter(value, order[number]) for key, value in values.items()}
             for number, values in saved["state"].items()}
    if (folder / FOLDER).is_dir():
        numbers = {name: number for number, name in enumerate(parameters)}
        for name, tensor in _read(folder / FOLDER, parameters).items():
            parameter, _, key = name.rpartition("/")
            state[numbers[parameter]][key] = tensor
    return {"state": state, "param_groups": saved["param_groups"]}


def _as_its_parameter(value: Any, parameter: nn.Parameter) -> Any:
    """A whole tensor, sharded as its parameter where that is."""
    if isinstance(value, Tensor) and value.ndim and is_sharded(parameter):
        return sharded_like(value, parameter)
    return value


def _read(folder: Path, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    reader = HuggingFaceStorageReader(str(folder))
    stored = reader.read_metadata().state_dict_metadata
    tensors = {}
    for name, found in stored.items():
        parameter = parameters.get(name.rpartition("/")[0])
        assert isinstance(found, TensorStorageMetadata), "safetensors hold nothing else"
        if parameter is None or tuple(found.size) != tuple(parameter.shape):
            raise UserError("train.damaged_checkpoint", where=str(folder), what=f"holds '{name}' of "
                            f"{list(found.size)}, which belongs to no parameter that trains")
        tensors[name] = torch.empty_like(parameter, dtype=found.properties.dtype)
    if lacking := [name for name in parameters if not any(key.startswith(f"{name}/") for key in tensors)]:
        raise UserError("train.damaged_checkpoint", where=str(folder), what=f"holds nothing of {lacking[0]}")
    dcp.load(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
    return {name: tensor.detach() for name, tensor in tensors.items()}
