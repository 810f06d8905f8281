"""Raw LLaMA of 1, 2 and 4 shards becomes the folder that transformers' own logic makes, and says the same tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from minigpt4.common.errors import UserError
from minigpt4.weights.files.model_folder import write_model_folder
from minigpt4.weights.files.readers import open_weights, read_json
from minigpt4.weights.llama.raw import convert_llama
from tests.parity.minigpt4_folder import folder as oracles

WIDTH, HEADS, LAYERS, INNER = 32, 4, 2, 64
SPLIT_BY_ROWS = ("wq", "wk", "wv", "w1", "w3", "output")
SPLIT_BY_COLUMNS = ("wo", "w2", "tok_embeddings")


@pytest.fixture(scope="module")
def tokenizer() -> Path:
    return oracles() / "parts" / "llm" / "tokenizer.model"


@pytest.fixture(scope="module")
def rows(tokenizer: Path) -> int:
    import sentencepiece

    return int(sentencepiece.SentencePieceProcessor(model_file=str(tokenizer)).get_piece_size())


def raw_tensors(rows: int) -> dict[str, Tensor]:
    """The whole model under Meta's names."""
    generator = torch.Generator().manual_seed(3)

    def matrix(*shape: int) -> Tensor:
        return (0.3 * torch.randn(*shape, generator=generator)).half()

    tensors = {"tok_embeddings.weight": matrix(rows, WIDTH), "output.weight": matrix(rows, WIDTH),
               "norm.weight": 1 + matrix(WIDTH)}
    for layer in range(LAYERS):
        for name in ("wq", "wk", "wv", "wo"):
            tensors[f"layers.{layer}.attention.{name}.weight"] = matrix(WIDTH, WIDTH)
        for name, shape in (("w1", (INNER, WIDTH)), ("w2", (WIDTH, INNER)), ("w3", (INNER, WIDTH))):
            tensors[f"layers.{layer}.feed_forward.{name}.weight"] = matrix(*shape)
        for name in ("attention_norm", "ffn_norm"):
            tensors[f"layers.{layer}.{name}.weight"] = 1 + matrix(WIDTH)
    return tensors


def write_raw(folder: Path, tensors: dict[str, Tensor], shards: int) -> Path:
    """Meta's layout: big matrices split over the shards, norms in each, rotary table beside them."""
    folder.mkdir()
    params = {"dim": WIDTH, "multiple_of": 32, "n_heads": HEADS, "n_layers": LAYERS, "norm_eps": 1e-6, "vocab_size": -1}
    (folder / "params.json").write_text(json.dumps(params))
    for number in range(shards):
        part = {"rope.freqs": torch.ones(WIDTH // HEADS // 2)}
        for name, tensor in tensors.items():
            kind = name.split(".")[-2]
            axis = 0 if kind in SPLIT_BY_ROWS else 1 if kind in SPLIT_BY_COLUMNS else None
            part[name] = (tensor if axis is None else tensor.chunk(shards, dim=axis)[number]).clone()
        torch.save(part, folder / f"consolidated.{number:02d}.pth")
    return folder


def as_transformers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the conversion script of transformers makes: names, and rotary pairs moved from neighbours to halves."""
    names = {"wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj", "wo": "self_attn.o_proj",
             "w1": "mlp.gate_proj", "w2": "mlp.down_proj", "w3": "mlp.up_proj", "attention_norm": "input_layernorm",
             "ffn_norm": "post_attention_layernorm"}
    made = {"model.embed_tokens.weight": tensors["tok_embeddings.weight"], "lm_head.weight": tensors["output.weight"],
            "model.norm.weight": tensors["norm.weight"]}
    for name, tensor in tensors.items():
        if not name.startswith("layers."):
            continue
        _, layer, *_, kind, _ = name.split(".")
        if kind in ("wq", "wk"):
            tensor = tensor.view(HEADS, WIDTH // HEADS // 2, 2, WIDTH).transpose(1, 2).reshape(WIDTH, WIDTH)
        made[f"model.layers.{layer}.{names[kind]}.weight"] = tensor
    return made


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_every_number_of_shards_gives_the_same_model(shards: int, tokenizer: Path, rows: int, tmp_path: Path) -> None:
    raw = raw_tensors(rows)
    work = convert_llama(write_raw(tmp_path / "raw", raw, shards), tokenizer)
    write_model_folder(work, tmp_path / "llama", shard_bytes=30_000)
    made, wanted = open_weights(tmp_path / "llama"), as_transformers(raw)
    assert set(made.names) == set(wanted)
    assert all(torch.equal(made.load(name), tensor) for name, tensor in wanted.items())
    config = read_json(tmp_path / "llama" / "config.json")
    assert (config["intermediate_size"], config["vocab_size"], config["torch_dtype"]) == (INNER, rows, "float16")


def test_greedy_tokens_are_those_of_transformers(tokenizer: Path, rows: int, tmp_path: Path) -> None:
    """float32 of the float16 weights, 12 tokens."""
    raw = raw_tensors(rows)
    write_model_folder(convert_llama(write_raw(tmp_path / "raw", raw, 2), tokenizer), tmp_path / "llama")
    own = LlamaForCausalLM.from_pretrained(tmp_path / "llama", dtype=torch.float32)
    config = LlamaConfig(hidden_size=WIDTH, intermediate_size=INNER, num_attention_heads=HEADS, vocab_size=rows,
                         num_hidden_layers=LAYERS, rms_norm_eps=1e-6)
    peer = LlamaForCausalLM(config).eval()
    peer.load_state_dict({name: tensor.float() for name, tensor in as_transformers(raw).items()})
    ids = torch.tensor([[1, 7, 300, 12]])
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": -1}
    assert torch.equal(own.eval().generate(ids, **settings), peer.generate(ids, **settings))


def test_missing_shards_and_damaged_files_are_named(tokenizer: Path, rows: int, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", raw_tensors(rows), 2)
    (raw / "consolidated.00.pth").unlink()
    with pytest.raises(UserError, match=r"consolidated\.00\.pth"):
        convert_llama(raw, tokenizer)
    with pytest.raises(UserError, match="params.json"):
        convert_llama(tmp_path, tokenizer)
