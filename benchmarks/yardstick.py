"""The fixed size on which speed is measured, as our model and as transformers' own, with the same weights.

ViT 384 wide and 6 deep at 224 pixels, Q-Former 256 wide and 6 deep with 32 queries, Llama 512 wide and 8 deep with
8,000 words: 50 M parameters. Both halves of a comparison run in one process, in turns, and are read as ratios.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any

import torch
from transformers import Blip2Config, Blip2ForConditionalGeneration

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.eva_vit import LN_VISION_EPS, EvaVitConfig
from minigpt4.systems.minigpt4.config import MiniGPT4Config

VOCABULARY = 8000
IMAGE_TOKEN_ID = VOCABULARY - 1
"""the peer's placeholder; no text has it"""
ROUNDS = 5
LLAMA = {
    "model_type": "llama", "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8,
    "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": VOCABULARY, "max_position_embeddings": 512,
    "tie_word_embeddings": False, "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
VISION = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 1536}
Q_FORMER = {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 1024}


@dataclass(frozen=True)
class Spent:
    """What one variant took in one round."""

    cpu_seconds: float
    wall_seconds: float


def our_model(*, image_size: int = 224, vocabulary: int = VOCABULARY, llm_trains: bool = False) -> LoadedModel:
    """Ours, random from a fixed seed, everything frozen but the projection (and the language model, if it trains)."""
    sizes = {**LLAMA, "vocab_size": vocabulary}
    config = MiniGPT4Config(
        model_type="custom", behaviour="standard", template="vicuna_v1",
        vision=EvaVitConfig(image_size=image_size, **VISION),
        resampler=QFormerConfig(num_query_tokens=32, cross_attention_frequency=2, **Q_FORMER),
        llm=CausalLMConfig(random=sizes, tokenizer=str(tokenizer_folder()), freeze=not llm_trains),
    )
    return build_model(config, device=torch.device("cpu"), seed=0)


def tokenizer_folder() -> Path:
    """A tokenizer of whole words `w0`, `w1`, …, so that a text of n words has n tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    special = ["<unk>", "<s>", "</s>"]
    words = [*special, *(f"w{number}" for number in range(IMAGE_TOKEN_ID - len(special)))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder = Path(mkdtemp(prefix="minigpt4_yardstick_"))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))
    return folder


def peer_model(ours: LoadedModel) -> Blip2ForConditionalGeneration:
    """`Blip2ForConditionalGeneration` with our weights, frozen where ours are."""
    llm: CausalLMConfig = ours.config.llm
    config = Blip2Config(
        vision_config={**VISION, "image_size": ours.config.vision.image_size, "patch_size": 14,
                       "layer_norm_eps": 1e-6},
        qformer_config={**Q_FORMER, "cross_attention_frequency": 2, "encoder_hidden_size": VISION["hidden_size"]},
        text_config=llm.random, num_query_tokens=32, image_token_index=IMAGE_TOKEN_ID,
    )
    peer = Blip2ForConditionalGeneration(config).eval()
    parts: Mapping[str, Any] = ours.model.parts()
    peer.vision_model.load_state_dict(parts["vision"].model.state_dict())
    peer.vision_model.post_layernorm.eps = LN_VISION_EPS
    peer.qformer.load_state_dict(parts["resampler"].model.state_dict())
    peer.language_projection.load_state_dict(parts["connector"].projection.state_dict())
    peer.language_model.load_state_dict(parts["llm"].model.state_dict())
    with torch.no_grad():
        peer.query_tokens.copy_(parts["resampler"].query_tokens)
    peer.requires_grad_(False)
    peer.language_projection.requires_grad_(True)
    peer.language_model.requires_grad_(not llm.freeze)
    return peer


def spent_by(step: Callable[[], Any]) -> Spent:
    """CPU and wall seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def in_turns(steps: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, list[Spent]]:
    """Every variant once a round, so that a busy machine hits all alike; the first round is dropped."""
    taken: dict[str, list[Spent]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            spent = spent_by(step)
            if number:
                taken[name].append(spent)
    return taken


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return median(one / other for one, other in zip(numerators, denominators, strict=True))


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB.

    Linux reports it for this program alone; `ru_maxrss` would inherit the peak of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
