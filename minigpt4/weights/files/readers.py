"""Open files of weights: `.pth`/`.bin` pickles (weights only), safetensors, and Hugging Face folders of shards.

Every reader gives a `TensorFile`: names, and tensors one at a time. Nothing is unpickled but tensors and plain values.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from minigpt4.common.errors import UserError

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""keys under which training programs put the state dict"""


@dataclass(frozen=True)
class TensorFile:
    """Named tensors of one file or folder; `load(name)` reads one of them."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    load: Callable[[str], Tensor] = field(repr=False)

    @property
    def names(self) -> list[str]:
        return list(self.shapes)


def open_weights(path: str | Path) -> TensorFile:
    """Open a `.pth`, `.bin`, `.pt` or `.safetensors` file, or a folder that holds a model in Hugging Face's layout.

    Raises:
        UserError: the path is missing, truncated, holds code instead of weights, or no tensors at all.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise UserError("weights.missing_file", where=str(path), what="no such file", fix="check the path in the YAML")
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
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=_first_bytes(path, 2) == b"PK")
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or _first_bytes(path, 1) == b"\x80":  # a pickle, and one that asks for more
            raise UserError(
                "weights.unsafe",
                where=str(path),
                what=f"holds more than weights and is not opened ({_culprit(error)})",
                fix="save only its state dict, or take a safetensors file",
            ) from error
        raise _damaged(path, "it is no file of torch.save") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        first_sentence = str(error).partition("\n")[0].partition(". ")[0]  # torch's own advice follows
        raise _damaged(path, first_sentence or type(error).__name__) from error


def tensors_of(path: Path, content: Any) -> TensorFile:
    """The state dict inside the content of a torch file, whatever it is wrapped in."""
    if isinstance(content, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise UserError("weights.no_tensors", where=str(path), what="holds no named tensors", fix="take another file")
    return TensorFile(path, {name: tuple(value.shape) for name, value in tensors.items()}, tensors.__getitem__)


def _open_safetensors(path: Path) -> TensorFile:
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error

    def load(name: str) -> Tensor:
        with safe_open(path, "pt") as opened:
            return opened.get_tensor(name)

    return TensorFile(path, shapes, load)


def _open_folder(folder: Path) -> TensorFile:
    for index_name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index_name).exists():
            return _open_shards(folder, folder / index_name)
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).exists():
            return open_weights(folder / name)
    raise UserError(
        "weights.missing_file",
        where=str(folder),
        what="holds no model.safetensors, pytorch_model.bin or index of shards",
        fix=f"it holds: {', '.join(sorted(p.name for p in folder.iterdir())[:8]) or 'nothing'}",
    )


def _open_shards(folder: Path, index: Path) -> TensorFile:
    weight_map: dict[str, str] = read_json(index)["weight_map"]
    missing = sorted({name for name in weight_map.values() if not (folder / name).exists()})
    if missing:
        raise UserError(
            "weights.missing_shard", where=str(folder), what=f"{index.name} names {', '.join(missing)}, not there",
            fix="download the missing shard",
        )
    shards = {name: open_weights(folder / name) for name in sorted(set(weight_map.values()))}
    shapes: dict[str, tuple[int, ...]] = {}
    home: dict[str, TensorFile] = {}
    for shard in shards.values():
        for name, shape in shard.shapes.items():
            shapes[name], home[name] = shape, shard
    absent = sorted(set(weight_map) - set(shapes))
    if absent:
        raise UserError(
            "weights.missing_tensor", where=str(folder / weight_map[absent[0]]),
            what=f"does not hold {some_names(absent)}, which {index.name} promises", fix="download the shard again",
        )
    return TensorFile(folder, shapes, lambda name: home[name].load(name))


def read_json(path: Path) -> Any:
    """JSON of a file; `UserError` with line and column where it is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError("file.missing", where=str(path), what="no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        place = f"{path}:{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else str(path)
        raise UserError("file.json", where=place, what=f"is no JSON ({error})") from error


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


def some_names(names: Iterable[str], limit: int = 5) -> str:
    """The first few names in quotes, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{name}'" for name in names[:limit]) + more
