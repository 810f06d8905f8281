"""Open files of weights: `.pth`/`.bin` pickles (weights only), safetensors, and Hugging Face folders of shards.

Every reader gives a `TensorFile`: names, and tensors one at a time. Nothing is unpickled but tensors and plain values.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.common.files import ReadBytes
from minigpt4.weights.files.kinds import refuse_file, refuse_folder, refuse_special
from minigpt4.weights.files.safetensors_file import NotSafetensors, open_safetensors
from minigpt4.weights.files.shard_writer import INDEX
from minigpt4.weights.files.tensor_file import TensorFile, some_names

WRAPPERS = ("model", "state_dict", "model_state_dict", "module")
"""keys under which training programs put the state dict: LAVIS and many others, Lightning, torchtune, DeepSpeed; also
one inside the other"""
UNMAPPABLE = "mmap can only be used with files saved with"
"""how torch refuses to map a file of its format before 1.6"""


def open_weights(path: str | Path) -> TensorFile:
    """Open a `.pth`, `.bin`, `.pt` or `.safetensors` file, or a folder that holds a model in Hugging Face's layout.

    Raises:
        UserError: the path is missing, truncated, of another kind, holds code instead of weights, or no tensors at all.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise UserError("weights.missing_file", where=str(path), what="no such file", fix="check the path in the YAML")
    refuse_special(path)
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    return tensors_of(path, read_torch_file(path))


def read_torch_file(path: str | Path) -> Any:
    """What `torch.save` wrote, read with `weights_only=True` and memory-mapped where the file allows it.

    Raises:
        UserError: missing or truncated file; a pickle that needs more than tensors and plain values.
    """
    path = Path(path)
    if not path.exists():
        raise UserError("weights.missing_file", where=str(path), what="no such file", fix="check the path in the YAML")
    refuse_special(path)
    try:
        return _torch_load(path)
    except pickle.UnpicklingError as error:
        refuse_file(path)
        if "GLOBAL" in str(error) or _first_bytes(path, 1) == b"\x80":  # a pickle, and one that asks for more
            raise UserError(
                "weights.unsafe",
                where=str(path),
                what=f"contains more than weights and is not opened ({_culprit(error)})",
                fix="save only its state dict, or take a safetensors file",
            ) from error
        raise _damaged(path, "it is not a file of torch.save") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError, struct.error,
            AssertionError) as error:  # what torch raises for broken archives and pickles of its own layout
        refuse_file(path)
        first_sentence = str(error).partition("\n")[0].partition(". ")[0]  # torch's own advice follows
        raise _damaged(path, first_sentence or type(error).__name__) from error


def _torch_load(path: Path) -> Any:
    """Mapped, so that memory holds only tensors that are used; files of torch before 1.6 cannot be."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if UNMAPPABLE not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)


def tensors_of(path: Path, content: object) -> TensorFile:
    """The state dict inside the content of a torch file, whatever it is wrapped in."""
    tensors = _unwrapped(content)
    if not tensors:
        raise UserError("weights.no_tensors", where=str(path), what="has no named tensors", fix="take another file")
    return TensorFile(path, {name: tuple(value.shape) for name, value in tensors.items()},
                      {name: value.dtype for name, value in tensors.items()}, tensors.__getitem__)


def _unwrapped(content: object) -> dict[str, Tensor]:
    """The innermost state dict under a chain of wrappers; {} if there is none."""
    if not isinstance(content, Mapping):
        return {}
    for wrapper in WRAPPERS:
        if inner := _unwrapped(content.get(wrapper)):
            return inner
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _open_safetensors(path: Path) -> TensorFile:
    try:
        return open_safetensors(path)
    except (NotSafetensors, OSError) as error:
        refuse_file(path)
        raise _damaged(path, str(error)) from error


def _open_folder(folder: Path) -> TensorFile:
    for index_name in (INDEX, "pytorch_model.bin.index.json"):
        if (folder / index_name).exists():
            return _open_shards(folder, folder / index_name)
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).exists():
            return open_weights(folder / name)
    refuse_folder(folder)
    raise UserError(
        "weights.missing_file",
        where=str(folder),
        what="contains no model.safetensors, pytorch_model.bin or index of shards",
        fix=f"it contains: {', '.join(sorted(p.name for p in folder.iterdir())[:8]) or 'nothing'}",
    )


def _open_shards(folder: Path, index: Path) -> TensorFile:
    weight_map = _weight_map(index)
    missing = sorted({name for name in weight_map.values() if not (folder / name).exists()})
    if missing:
        raise UserError(
            "weights.missing_shard", where=str(folder),
            what=f"{index.name} lists {', '.join(missing)}, which is missing",
            fix="download the missing shard",
        )
    shards = {name: open_weights(folder / name) for name in sorted(set(weight_map.values()))}
    home = {name: shard for shard in shards.values() for name in shard.names}
    absent = sorted(set(weight_map) - set(home))
    if absent:
        raise UserError(
            "weights.missing_tensor", where=str(folder / weight_map[absent[0]]),
            what=f"does not contain {some_names(absent)}, which {index.name} lists", fix="download the shard again",
        )
    return TensorFile(folder, {name: shard.shapes[name] for name, shard in home.items()},
                      {name: shard.dtypes[name] for name, shard in home.items()}, lambda name: home[name].load(name))


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> file of an index; names stay inside its folder."""
    content = read_json(index)
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise UserError("weights.index", where=str(index), what="has no weight_map from names to files",
                        fix="download it again")
    outside = [name for name in found.values() if PurePosixPath(name).name != name or name in ("", ".", "..")]
    if outside:
        raise UserError("weights.index", where=str(index), what=f"names '{outside[0]}', which is no file beside it",
                        fix="download it again")
    return found


def read_json(path: Path, read: ReadBytes = Path.read_bytes) -> Any:
    """JSON of a file; `UserError` with line and column where it is broken."""
    refuse_special(path)
    try:
        return json.loads(read(path).decode())
    except FileNotFoundError as error:
        raise UserError("file.missing", where=str(path), what="no such file") from error
    except OSError as error:
        raise UserError("file.unreadable", where=str(path), what=f"cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise UserError("file.json", where=str(path), what="is nested too deeply") from error
    except ValueError as error:  # not JSON, not UTF-8, a number of thousands of digits
        place = f"{path}:{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else str(path)
        raise UserError("file.json", where=place, what=f"is not JSON ({error})") from error


def _first_bytes(path: Path, number: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(number)


def _culprit(error: Exception) -> str:
    """The name that the file asks for: torch writes it after the word GLOBAL or global."""
    words = str(error).split()
    after = [word for marker, word in zip(words, words[1:], strict=False) if marker in ("GLOBAL", "global")]
    return f"it asks for {after[0].rstrip('.')}" if after else "it asks for other Python objects"


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        "weights.damaged", where=str(path), what=f"cannot be read ({reason})", fix="download or copy it again"
    )
