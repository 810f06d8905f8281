"""Tiny LLaMA folders and deltas of every kind, made of seeded numbers in float16."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests import tiny

WIDTH, ROWS, LAYERS, INNER = 16, 320, 2, 24


def llama_tensors(seed: int, *, rows: int = ROWS, width: int = WIDTH) -> dict[str, Tensor]:
    """All tensors of a LLaMA of two layers."""
    generator = torch.Generator().manual_seed(seed)

    def matrix(*shape: int) -> Tensor:
        return (0.05 * torch.randn(*shape, generator=generator)).half()

    tensors = {"model.embed_tokens.weight": matrix(rows, width), "lm_head.weight": matrix(rows, width),
               "model.norm.weight": 1 + matrix(width)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        for name in "qkvo":
            tensors[f"{prefix}.self_attn.{name}_proj.weight"] = matrix(width, width)
        for name, shape in (("gate", (INNER, width)), ("up", (INNER, width)), ("down", (width, INNER))):
            tensors[f"{prefix}.mlp.{name}_proj.weight"] = matrix(*shape)
        tensors[f"{prefix}.input_layernorm.weight"] = 1 + matrix(width)
        tensors[f"{prefix}.post_attention_layernorm.weight"] = 1 + matrix(width)
    return tensors


def tuned(base: dict[str, Tensor], *, extra_rows: int = 0, seed: int = 9) -> dict[str, Tensor]:
    """A model fine-tuned from a base, with rows added to its vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    result = {}
    for name, tensor in base.items():
        moved = tensor + (0.002 * torch.randn(tensor.shape, generator=generator)).half()
        if extra_rows and len(tensor) == ROWS and tensor.ndim == 2:
            moved = torch.cat([moved, moved.float().mean(0, keepdim=True).half().expand(extra_rows, -1)])
        result[name] = moved
    return result


def difference(model: dict[str, Tensor], base: dict[str, Tensor]) -> dict[str, Tensor]:
    """model - base; a row that the base lacks counts as zero."""
    result = {}
    for name, tensor in model.items():
        changed = tensor.clone()
        changed[: len(base[name])] -= base[name]
        result[name] = changed
    return result


def write_folder(folder: Path, tensors: dict[str, Tensor], *, shards: int = 1, added: tuple[str, ...] = ()) -> Path:
    """A Hugging Face folder: `.bin` shards with an index, or one safetensors file; config and tokenizer."""
    folder.mkdir(parents=True)
    width = tensors["model.norm.weight"].shape[0]
    config = {
        "architectures": ["LLaMAForCausalLM"], "model_type": "llama", "hidden_size": width, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": 2, "rms_norm_eps": 1e-6, "torch_dtype": "float16",
        "vocab_size": len(tensors["lm_head.weight"]), "bos_token_id": 1, "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(tiny.tokenizer_folder() / "tokenizer.json", folder)
    names = {"tokenizer_class": "LLaMATokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    if added:
        content = json.loads((folder / "tokenizer.json").read_text())
        pieces = len(content["model"]["vocab"])
        (folder / "added_tokens.json").write_text(json.dumps({one: pieces + n for n, one in enumerate(added)}))
    if shards == 1:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
        return folder
    places = {name: f"pytorch_model-{number % shards + 1:05d}-of-{shards:05d}.bin"
              for number, name in enumerate(tensors)}
    for file in set(places.values()):
        torch.save({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder
