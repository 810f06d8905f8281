"""The small files beside the weights of a Llama folder: config.json and the tokenizer's, written in today's spelling.

Folders of 2023 spell classes `LLaMATokenizer` and `LLaMAForCausalLM`, have empty names for special tokens, ids that
contradict their tokenizer, and a path of somebody's disk (docs/originals/minigpt4.md#files-llm).
What is repaired is reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from minigpt4.models.language_models.causal_lm import OLD_CONFIG_VALUES
from minigpt4.weights.files.readers import read_json
from minigpt4.weights.files.vocabulary import Vocabulary

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
TOKENIZER_JSONS = ("tokenizer_config.json", "special_tokens_map.json")
COPIED = ("tokenizer.model", "tokenizer.json", "added_tokens.json", "chat_template.jinja", "LICENSE.txt", "LICENSE")
PATH_LEFTOVERS = ("_name_or_path", "name_or_path", "tokenizer_file")
"""keys that name a path on the disk of the folder's author"""


def sidecars_of(folder: Path, vocabulary: Vocabulary | None, *, num_rows: int, dtype: torch.dtype
                  ) -> tuple[dict[str, bytes], list[str]]:
    """The small files of a folder, repaired.

    Args:
        folder: where they are taken from.
        vocabulary: its vocabulary.
        num_rows: rows of the embedding that will be beside them.
        dtype: dtype of the weights that will be beside them.

    Returns:
        name -> content, and a line for the report per repaired value.
    """
    lines: list[str] = []
    files = {name: (folder / name).read_bytes() for name in COPIED if (folder / name).exists()}
    config = _without_paths(read_json(folder / CONFIG))
    wanted: dict[str, Any] = {"vocab_size": num_rows, "torch_dtype": str(dtype).removeprefix("torch.")}
    wanted |= _right_spellings(config) | _right_ids(config, vocabulary)
    files[CONFIG] = as_json(_set(config, wanted, CONFIG, lines))
    if (folder / GENERATION_CONFIG).exists():
        values = _without_paths(read_json(folder / GENERATION_CONFIG))
        files[GENERATION_CONFIG] = as_json(_set(values, _right_ids(values, vocabulary), GENERATION_CONFIG, lines))
    for name in TOKENIZER_JSONS:
        if (folder / name).exists():
            values = _without_paths(read_json(folder / name))
            files[name] = as_json(_set(values, _right_tokens(values, vocabulary), name, lines))
    return files, lines


def new_tokenizer_files(model: bytes, vocabulary: Vocabulary) -> dict[str, bytes]:
    """tokenizer.model and the two JSON files that transformers wants beside it, for raw weights that have none."""
    tokens = {key: {"content": vocabulary.pieces[number], "lstrip": False, "normalized": True, "rstrip": False,
                    "single_word": False} for key, number in vocabulary.special_ids.items()}
    typed = {key: {"__type": "AddedToken", **token} for key, token in tokens.items()}
    config = {"add_bos_token": True, "add_eos_token": False, **typed, "clean_up_tokenization_spaces": False,
              "legacy": True, "pad_token": None, "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer"}
    return {"tokenizer.model": model, "tokenizer_config.json": as_json(config),
            "special_tokens_map.json": as_json(tokens)}


def as_json(values: Mapping[str, Any]) -> bytes:
    """Readable JSON."""
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _without_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in PATH_LEFTOVERS}


def _set(values: dict[str, Any], wanted: Mapping[str, Any], name: str, lines: list[str]) -> dict[str, Any]:
    for key, value in wanted.items():
        if values.get(key) != value:
            if key in values:
                lines.append(f"{name}: {key} {json.dumps(values[key])} -> {json.dumps(value)}")
            values[key] = value
    return values


def _right_spellings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = config.get("architectures") or ["LlamaForCausalLM"]
    return {"architectures": [OLD_CONFIG_VALUES.get(name, name) for name in names],
            "model_type": str(config.get("model_type", "llama")).lower()}


def _right_ids(values: Mapping[str, Any], vocabulary: Vocabulary | None) -> dict[str, int | None]:
    """Ids of begin and end as sentencepiece has them; a negative padding id means no padding token."""
    found: dict[str, int | None] = {}
    for name in ("bos_token", "eos_token"):
        if vocabulary and name in vocabulary.special_ids:
            found[f"{name}_id"] = vocabulary.special_ids[name]
    if isinstance(values.get("pad_token_id"), int) and values["pad_token_id"] < 0:
        found["pad_token_id"] = None
    return found


def _right_tokens(values: Mapping[str, Any], vocabulary: Vocabulary | None) -> dict[str, str]:
    found = {}
    if "tokenizer_class" in values:
        name = str(values["tokenizer_class"])
        found["tokenizer_class"] = OLD_CONFIG_VALUES.get(name, name)
    for token, number in (vocabulary.special_ids if vocabulary else {}).items():
        given = values.get(token, "")
        if (given.get("content") if isinstance(given, Mapping) else given) in ("", None):
            found[token] = vocabulary.pieces[number] if vocabulary else ""
    return found
