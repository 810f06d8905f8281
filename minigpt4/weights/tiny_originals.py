"""Random parts of a few megabytes in the layouts of the originals, to try every step of the real model with.

A folder as `weights download` leaves it: the same names, the same keys, the same depths and numbers of heads, only
narrow: D = 32 wide ViT of 40 blocks (39 are used), Q-Former of 12 layers, 24 wide, a Llama of 4 layers, 48 wide. Beside
them MODEL_YAML, which names the files and their widths. The numbers are random: what it answers means nothing.
Source of names and layouts: docs/originals/minigpt4.md#files.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from torch import Tensor

from minigpt4.common.files import atomic_folder, refuse_taken
from minigpt4.weights.download.known import find_known

VISION, Q_FORMER, PROJECTION, LANGUAGE_MODEL = (
    "eva_vit_g", "blip2_pretrained_flant5xxl", "prerained_minigpt4_7b", "vicuna-7b-v0",
)
"""what `weights download` calls them"""
MODEL_YAML = "minigpt4_eval.yaml"
SIDE, PATCH, BLOCKS = 224, 14, 40
QUERIES, QUERY_LAYERS = 32, 12
VISION_WIDTH, VISION_INNER = 32, 139
QUERY_WIDTH, QUERY_INNER = 24, 96
WORD_WIDTH, WORD_INNER, WORD_LAYERS, WORD_HEADS, POSITIONS = 48, 128, 4, 4, 2048
PIECES = 400
"""of the tokenizer: the 256 bytes and a few words"""
DEVIATION = 0.3
"""of random numbers; large enough for the answer to depend on the image"""
SENTENCES = (
    "What is shown here? A red rose stands on the table in front of a grey wall.",
    "Describe this image in detail. Two small boats near the harbour in the rain.",
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
    "Please answer my questions.###Human: ###Assistant: ",
)


@dataclass
class _Numbers:
    """Named random tensors of one file; norms begin near 1.

    Args:
        seed: the same seed gives the same numbers on every machine.
        state: what has been named so far.
    """

    seed: int
    state: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)

    def add(self, name: str, *shape: int) -> None:
        self.state[name] = torch.randn(shape, generator=self._generator) * DEVIATION

    def linear(self, name: str, out: int, into: int) -> None:
        self.add(f"{name}.weight", out, into)
        self.add(f"{name}.bias", out)

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", width)
        self.add(f"{name}.bias", width)
        self.state[f"{name}.weight"] += 1


def write_tiny_originals(folder: Path, *, seed: int = 0) -> list[str]:
    """Write the four parts and MODEL_YAML into a new folder.

    Args:
        folder: new or empty.
        seed: of the random numbers.

    Returns:
        A line for each thing that was written, with its size.

    Raises:
        UserError: something is already there, or it cannot be written.
    """
    refuse_taken(folder)
    with atomic_folder(folder) as part:
        torch.save(_half(vision(seed)), find_known(VISION).place(part))
        torch.save({"model": q_former(seed + 1)}, find_known(Q_FORMER).place(part))
        torch.save({"model": projection(seed + 2), "epoch": 4}, find_known(PROJECTION).place(part))
        _write_language_model(find_known(LANGUAGE_MODEL).place(part), seed + 3)
        (part / MODEL_YAML).write_text(model_yaml(), encoding="utf-8")
        written = [(path.name, _num_bytes(path)) for path in sorted(part.iterdir())]
    return [f"{folder / name}: {num_bytes / 1e3:.0f} kB" for name, num_bytes in written]


def vision(seed: int) -> dict[str, Tensor]:
    """`eva_vit_g.pth`: a bare state dict, one block more than is used."""
    numbers, width = _Numbers(seed), VISION_WIDTH
    numbers.add("cls_token", 1, 1, width)
    numbers.add("pos_embed", 1, 1 + (SIDE // PATCH) ** 2, width)
    numbers.add("patch_embed.proj.weight", width, 3, PATCH, PATCH)
    numbers.add("patch_embed.proj.bias", width)
    for block in range(BLOCKS):
        name = f"blocks.{block}."
        numbers.norm(f"{name}norm1", width)
        numbers.norm(f"{name}norm2", width)
        numbers.add(f"{name}attn.q_bias", width)
        numbers.add(f"{name}attn.v_bias", width)
        numbers.add(f"{name}attn.qkv.weight", 3 * width, width)
        numbers.linear(f"{name}attn.proj", width, width)
        numbers.linear(f"{name}mlp.fc1", VISION_INNER, width)
        numbers.linear(f"{name}mlp.fc2", width, VISION_INNER)
    return numbers.state


def q_former(seed: int) -> dict[str, Tensor]:
    """`blip2_pretrained_flant5xxl.pth`: Q-Former and last vision norm, and of what nobody reads one of each kind."""
    numbers, width = _Numbers(seed), QUERY_WIDTH
    numbers.add("query_tokens", 1, QUERIES, width)
    numbers.norm("ln_vision", VISION_WIDTH)
    numbers.norm("Qformer.bert.embeddings.LayerNorm", width)
    for layer in range(QUERY_LAYERS):
        name = f"Qformer.bert.encoder.layer.{layer}."
        seen = {"attention": width} | ({"crossattention": VISION_WIDTH} if layer % 2 == 0 else {})
        for attention, seen_width in seen.items():
            for role, into in (("query", width), ("key", seen_width), ("value", seen_width)):
                numbers.linear(f"{name}{attention}.self.{role}", width, into)
            numbers.linear(f"{name}{attention}.output.dense", width, width)
            numbers.norm(f"{name}{attention}.output.LayerNorm", width)
        for branch in ("_query", ""):  # the second is the text's, which is not read
            numbers.linear(f"{name}intermediate{branch}.dense", QUERY_INNER, width)
            numbers.linear(f"{name}output{branch}.dense", width, QUERY_INNER)
            numbers.norm(f"{name}output{branch}.LayerNorm", width)
    numbers.linear("t5_proj", WORD_WIDTH, width)
    return numbers.state


def projection(seed: int) -> dict[str, Tensor]:
    """`prerained_minigpt4_7b.pth`: the one layer that MiniGPT-4 trained."""
    numbers = _Numbers(seed)
    numbers.linear("llama_proj", WORD_WIDTH, QUERY_WIDTH)
    return numbers.state


def language_model(seed: int, rows: int) -> dict[str, Tensor]:
    """A Llama under its names in transformers."""
    numbers, width = _Numbers(seed), WORD_WIDTH
    numbers.add("model.embed_tokens.weight", rows, width)
    numbers.add("lm_head.weight", rows, width)
    numbers.state["model.norm.weight"] = torch.ones(width)
    for layer in range(WORD_LAYERS):
        name = f"model.layers.{layer}."
        for role in ("q", "k", "v", "o"):
            numbers.add(f"{name}self_attn.{role}_proj.weight", width, width)
        for role in ("gate", "up"):
            numbers.add(f"{name}mlp.{role}_proj.weight", WORD_INNER, width)
        numbers.add(f"{name}mlp.down_proj.weight", width, WORD_INNER)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            numbers.state[f"{name}{norm}.weight"] = torch.ones(width)
    return numbers.state


def _write_language_model(folder: Path, seed: int) -> None:
    folder.mkdir()
    tokenizer = _tokenizer()
    (folder / "tokenizer.model").write_bytes(tokenizer)
    rows = _num_pieces(tokenizer)
    torch.save(_half(language_model(seed, rows)), folder / "pytorch_model.bin")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": rows, "hidden_size": WORD_WIDTH,
        "intermediate_size": WORD_INNER, "num_hidden_layers": WORD_LAYERS, "num_attention_heads": WORD_HEADS,
        "max_position_embeddings": POSITIONS, "hidden_act": "silu", "rms_norm_eps": 1e-6, "torch_dtype": "float16",
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
    }
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    texts = {"config.json": config, "special_tokens_map.json": names,
             "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", **names}}
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _tokenizer() -> bytes:
    """A sentencepiece model with byte fallback, as Llama's: it can write any text, few of its words are one piece."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_writer=written, vocab_size=PIECES, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2,
    )
    return written.getvalue()


def _num_pieces(tokenizer: bytes) -> int:
    import sentencepiece

    return int(sentencepiece.SentencePieceProcessor(model_proto=tokenizer).GetPieceSize())


def model_yaml() -> str:
    """A YAML that chats with these parts; its paths are relative to it."""
    widths = {"hidden_size": VISION_WIDTH, "intermediate_size": VISION_INNER}
    query_widths = {"hidden_size": QUERY_WIDTH, "intermediate_size": QUERY_INNER}
    place = {name: find_known(name).place(Path()) for name in (VISION, Q_FORMER, PROJECTION, LANGUAGE_MODEL)}
    model = {
        "arch": "minigpt4", "model_type": "pretrain_vicuna0", "behaviour": "standard",
        "vision": {"weights": str(place[VISION]), **widths, "dtype": "fp32"},
        "resampler": {"weights": str(place[Q_FORMER]), **query_widths},
        "llm": {"weights": str(place[LANGUAGE_MODEL])}, "ckpt": str(place[PROJECTION]),
        "max_txt_len": 160, "end_sym": "###", "prompt_template": "###Human: {} ###Assistant: ",
    }
    return yaml.safe_dump({"model": model}, sort_keys=False)


def _half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half() for name, value in state.items()}


def _num_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
