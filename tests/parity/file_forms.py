"""The same numbers in other file forms: shards, wrappers, dtypes and extra keys as real downloads have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from minigpt4.weights.files.readers import open_weights

State = dict[str, Tensor]

WEIGHT_FILES = ("*.bin", "*.safetensors", "*.index.json")


def shards_of_bin(folder: Path, state: State) -> None:
    """Two `.bin` shards and their index."""
    _shards(folder, state, "pytorch_model", "bin", torch.save)


def shards_of_safetensors(folder: Path, state: State) -> None:
    """Two safetensors shards and their index."""
    _shards(folder, state, "model", "safetensors", lambda shard, path: save_file(shard, path, {"format": "pt"}))


def one_bin(folder: Path, state: State) -> None:
    torch.save(state, folder / "pytorch_model.bin")


def one_safetensors(folder: Path, state: State) -> None:
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def rewrite_llm(folder: Path, write: Callable[[Path, State], None], *, inv_freq: bool, double: bool = False) -> None:
    """A language model in another form, with or without the rotary buffers of old files, in fp16 or fp32."""
    state = {name: value for name, value in _state(folder).items() if not name.endswith("inv_freq")}
    if inv_freq:
        config = json.loads((folder / "config.json").read_text())
        width = config["hidden_size"] // config["num_attention_heads"]
        values = 1.0 / (10000 ** (torch.arange(0, width, 2).float() / width))
        layers = range(config["num_hidden_layers"])
        state |= {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": values.clone() for n in layers}
    for pattern in WEIGHT_FILES:
        for file in folder.glob(pattern):
            file.unlink()
    write(folder, {name: (value.float() if double else _smallest(value)).contiguous() for name, value in state.items()})


def rewrite_file(path: Path, *, wrapped: bool, double: bool, dropped: tuple[str, ...] = (),
                 added: Mapping[str, Tensor] | None = None) -> None:
    """A `.pth` plain or as {'model': …}, as fp32 or as fp16 where that is exact, without or with further keys."""
    state = {name: value for name, value in _state(path).items() if not name.startswith(dropped or ("\0",))}
    state = {name: value.float() if double else _smallest(value) for name, value in state.items()}
    state |= added or {}
    torch.save({"model": state} if wrapped else state, path)


def extra_blocks(path: Path, depth: int, count: int) -> State:
    """`count` blocks from number `depth` on, made of block 0, as an EVA file has beyond those that are used."""
    first = "blocks.0."
    block = {name.removeprefix(first): value for name, value in _state(path).items() if name.startswith(first)}
    return {f"blocks.{depth + n}.{name}": value.clone() for n in range(count) for name, value in block.items()}


def _state(path: Path) -> State:
    file = open_weights(path)
    return {name: file.load(name).clone() for name in file.names}


def _smallest(value: Tensor) -> Tensor:
    """fp16 where no number changes."""
    half = value.half()
    return half if value.is_floating_point() and torch.equal(half.to(value.dtype), value) else value


def _shards(folder: Path, state: State, stem: str, suffix: str, save: Callable[[State, Path], None]) -> None:
    names = sorted(state)
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    weight_map = {}
    for number, half in enumerate(halves, 1):
        file = f"{stem}-{number:05d}-of-00002.{suffix}"
        save({name: state[name] for name in half}, folder / file)
        weight_map |= dict.fromkeys(half, file)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
