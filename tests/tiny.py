"""A whole tiny model from random weights, and a tokenizer made of a few words: what tests use that need no oracle."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config.write import plain
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.conv_net import ConvNetConfig
from minigpt4.systems.minigpt4.config import MiniGPT4Config

WORDS = (
    "Human Assistant USER ASSISTANT INST what is this a red rose on the table describe image in detail 你 好 世 界"
).split()


@cache
def tokenizer_folder() -> Path:
    """A byte-level BPE of a few hundred ids, made once a process."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    folder = Path(mkdtemp(prefix="minigpt4_tokenizer_"))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))
    return folder


def config(**values: Any) -> MiniGPT4Config:
    """A model of a few thousand weights; keyword arguments replace fields of the config."""
    language_model = {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.3,
    }
    fields: dict[str, Any] = {
        "model_type": "custom", "behaviour": "standard", "template": "vicuna_v0", "max_txt_len": 24,
        "vision": ConvNetConfig(image_size=16, widths=(16, 16), freeze=False),
        "resampler": QFormerConfig(num_query_tokens=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                   intermediate_size=16, initializer_range=0.3, freeze=False),
        "llm": CausalLMConfig(random=language_model, tokenizer=str(tokenizer_folder()), freeze=False),
    }
    return MiniGPT4Config(**{**fields, **values})


def as_yaml(section: MiniGPT4Config) -> str:
    """The config as the YAML of a bundle."""
    return yaml.safe_dump({"model": plain(section)}, sort_keys=False)


def model(seed: int = 0, **values: Any) -> LoadedModel:
    return build_model(config(**values), device=torch.device("cpu"), seed=seed)


def image(number: int, size: int = 20) -> Image.Image:
    """An image of noise; the number is its seed."""
    values = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)
