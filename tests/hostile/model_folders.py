"""Hostile folders of language models: config.json, tokenizer files and weights changed in seeded ways."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from tests import tiny
from tests.hostile.mutations import change_bytes, change_json, write_acting_pickles

ABSURD = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size",
          "max_position_embeddings", "num_key_value_heads", "head_dim")
KINDS = ("baichuan", "qwen2", "mixtral", "t5", "clip", "gpt2", "bert", "llava", "")


def write_folder(folder: Path) -> Path:
    """A LLaMA of a few thousand weights with its tokenizer."""
    shutil.copytree(tiny.tokenizer_folder(), folder)
    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
                         vocab_size=320, num_key_value_heads=2, max_position_embeddings=128)
    model = AutoModelForCausalLM.from_config(config)
    save_file({name: value.clone() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    return folder


def make_hostile(folder: Path, chance: random.Random, sign: Path) -> str:
    """Change a folder; what was done, in words."""
    kind = chance.randrange(8)
    if kind == 0:
        return _set(folder, chance.choice(ABSURD), chance.choice((10 ** 6, 10 ** 9, 10 ** 13, 2 ** 70, 0, -3)))
    if kind == 1:
        return change_json(folder / "config.json", chance)
    if kind == 2:
        return _set(folder, "model_type", chance.choice(KINDS))
    if kind == 3:
        name = chance.choice(("tokenizer.json", "tokenizer_config.json"))
        return change_json(folder / name, chance, depth=5)
    if kind == 4:
        return change_bytes(folder / chance.choice(("tokenizer.json", "config.json", "model.safetensors")), chance)
    if kind == 5:
        (folder / "model.safetensors").unlink()
        return write_acting_pickles(folder / "pytorch_model.bin", sign, chance)
    if kind == 6:
        return _index(folder, chance)
    name = chance.choice(("config.json", "tokenizer.json", "model.safetensors"))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    return f"{name}: a pipe"


def _set(folder: Path, key: str, value: object) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), key: value}), encoding="utf-8")
    return f"config.json: {key} = {value}"


def _index(folder: Path, chance: random.Random) -> str:
    content = chance.choice((
        {}, [], {"weight_map": []}, {"weight_map": {"a": 1}}, {"weight_map": {"a": "../../etc/passwd"}},
        {"weight_map": {"a": "/dev/zero"}}, {"weight_map": {"a": "model.safetensors"}}, {"weight_map": {}},
        {"weight_map": {"a": "."}}, {"weight_map": None},
    ))
    (folder / "model.safetensors.index.json").write_text(json.dumps(content), encoding="utf-8")
    return f"index: {content}"
