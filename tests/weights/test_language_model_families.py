"""Any causal language model of transformers, under every name that it is published with: loaded, trained, asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.conversation.batching import pad
from minigpt4.inference.load import Assistant
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.records.conversations import caption_conversation
from minigpt4.records.images import ImageRef
from minigpt4.weights.inspection import describe_weights, verify_weights
from tests import tiny

State = dict[str, Tensor]
LAYERS, WIDTH, POSITIONS = 2, 16, 96
USUAL = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 32,
         "max_position_embeddings": POSITIONS}
GROUPED = {**USUAL, "num_key_value_heads": 1}
MASK = torch.ones(1, 1, POSITIONS, POSITIONS).tril()


def without(prefix: str, *, dropped: tuple[str, ...] = (), **added: Tensor) -> Callable[[State], State]:
    """Names without a prefix, some dropped, and buffers added to every layer (name with `{i}`)."""
    def rename(state: State) -> State:
        kept = {name.removeprefix(prefix): value for name, value in state.items() if name not in dropped}
        return kept | {name.format(i=i): value for name, value in added.items() for i in range(LAYERS)}
    return rename


def with_buffers(**added: Tensor) -> Callable[[State], State]:
    return without("", **added)


def with_tied_head(table: str) -> Callable[[State], State]:
    return lambda state: {**state, "lm_head.weight": state[table].clone()}


@dataclass(frozen=True)
class Family:
    """A kind of language model: its sizes, and the other forms that its names have been published in."""

    sizes: Mapping[str, Any]
    published: Mapping[str, Callable[[State], State]] = field(default_factory=dict)


NEOX_BUFFERS = {"gpt_neox.layers.{i}.attention.bias": MASK.bool(),
                "gpt_neox.layers.{i}.attention.masked_bias": torch.tensor(-1e9),
                "gpt_neox.layers.{i}.attention.rotary_emb.inv_freq": torch.ones(4)}
FAMILIES: Mapping[str, Family] = {
    "gpt2": Family(
        {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_positions": POSITIONS},
        {"without_transformer": without("transformer.", **{"h.{i}.attn.bias": MASK,
                                                           "h.{i}.attn.masked_bias": torch.tensor(-1e4)}),
         "with_head": with_tied_head("transformer.wte.weight")},
    ),
    "opt": Family(
        {"hidden_size": WIDTH, "word_embed_proj_dim": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
         "ffn_dim": 32, "max_position_embeddings": POSITIONS},
        {"decoder": without("model."), "with_head": with_tied_head("model.decoder.embed_tokens.weight")},
    ),
    "gpt_neox": Family(USUAL, {"with_buffers": with_buffers(**NEOX_BUFFERS)}),
    "bloom": Family({"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": 2},
                    {"without_transformer": without("transformer.")}),
    "mistral": Family(GROUPED),
    "qwen2": Family({**GROUPED, "tie_word_embeddings": True},
                    {"with_head": with_tied_head("model.embed_tokens.weight")}),
    "qwen3": Family({**GROUPED, "head_dim": 8}),
    "gemma": Family({**GROUPED, "head_dim": 8}, {"with_head": with_tied_head("model.embed_tokens.weight")}),
    "phi3": Family({**USUAL, "num_key_value_heads": 2, "pad_token_id": 0}),
    "llama": Family(
        {**GROUPED, "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
                                        "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                        "original_max_position_embeddings": 64}},
        {"with_buffers": with_buffers(**{"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(4)})},
    ),
    "mixtral": Family({**GROUPED, "num_local_experts": 3}),
    "qwen2_moe": Family({**GROUPED, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8,
                         "num_experts": 5, "num_experts_per_tok": 2}),
}
FORMS = ("save_pretrained", "bin", "two_shards")
CASES = [(name, form) for name, family in FAMILIES.items() for form in (*FORMS, *family.published)]


def random_model(name: str) -> Any:
    torch.manual_seed(3)
    vocabulary = {"vocab_size": 328, "bos_token_id": 1, "eos_token_id": 2}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **{**vocabulary, **FAMILIES[name].sizes}))
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn_like(parameter)
    return model.eval()


def written(model: Any, name: str, form: str, folder: Path) -> Path:
    """The folder of a model in one of its forms, with a tokenizer."""
    if form == "two_shards":
        total = sum(value.numel() * 4 for value in model.parameters())
        model.save_pretrained(folder, max_shard_size=int(total * 0.7))
        assert len(list(folder.glob("*.safetensors"))) == 2
    else:
        model.save_pretrained(folder)
        state = load_file(folder / "model.safetensors")
        if form == "bin":
            (folder / "model.safetensors").unlink()
            torch.save(state, folder / "pytorch_model.bin")
        elif form in FAMILIES[name].published:
            state = FAMILIES[name].published[form](state)
            save_file({key: value.clone() for key, value in state.items()}, folder / "model.safetensors")
    shutil.copytree(tiny.tokenizer_folder(), folder, dirs_exist_ok=True)
    return folder


def loaded_with(folder: Path, **values: Any) -> LoadedModel:
    return tiny.model(llm=CausalLMConfig(weights=str(folder), **values))


def changed(folder: Path, change: Callable[[State], Any]) -> Path:
    """The folder with its one file of weights changed in place."""
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    return folder


def train(loaded: LoadedModel, steps: int = 2) -> list[float]:
    """Losses of a few steps on two captions."""
    rows = [loaded.renderer.render(caption_conversation(ImageRef(data=b"x"), text)) for text in ("a red rose", "world")]
    batch = pad(rows, pad_token_id=0)
    batch.images["pixel_values"] = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW([value for value in loaded.model.parameters() if value.requires_grad], lr=1e-4)
    losses = []
    for _ in range(steps):
        loss = loaded.model(batch).loss_sum
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("name", "form"), CASES)
def test_it_is_loaded_trained_and_asked(name: str, form: str, tmp_path: Path) -> None:
    theirs = random_model(name)
    folder = written(theirs, name, form, tmp_path / "llm")
    loaded = loaded_with(folder)
    ours = loaded.model.llm.model
    assert type(ours) is type(theirs) and {origin.source for origin in loaded.origins["llm"]} == {"file"}
    assert all(torch.equal(value, ours.state_dict()[key]) for key, value in theirs.state_dict().items())
    ids = torch.tensor([[1, 7, 9, 30]])
    with torch.no_grad():
        assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids).logits)
    assert f"fingerprint {loaded.origins['llm'][0].fingerprint}" in describe_weights(folder)
    losses = train(loaded)
    assert losses[1] < losses[0] and all(torch.isfinite(torch.tensor(losses)))
    assert isinstance(Assistant(loaded).chat(tiny.image(1), "what is this", max_new_tokens=3), str)


def test_rows_are_those_of_the_input_embedding(tmp_path: Path) -> None:
    """Whatever it is called, and whatever config.json says."""
    folder = written(random_model("gpt_neox"), "gpt_neox", "save_pretrained", tmp_path / "llm")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "vocab_size": 50}))
    assert loaded_with(folder).vocab_size == values["vocab_size"]


@pytest.mark.parametrize(("name", "change", "sentence"), [
    ("gpt2", lambda state: state.pop("transformer.h.1.mlp.c_fc.bias"),
     r"nothing in the file for 'llm.model.transformer.h.1.mlp.c_fc.bias'"),
    ("gpt2", lambda state: state.update({"transformer.h.1.attn.extra": torch.ones(2)}),
     r"'transformer.h.1.attn.extra' belong nowhere in this model"),
    ("llama", lambda state: state.update({"model.layers.0.self_attn.bias": torch.ones(2)}),
     r"'model.layers.0.self_attn.bias' belong nowhere in this model"),
    ("llama", lambda state: state.pop("lm_head.weight"), r"nothing in the file for 'llm.model.lm_head.weight'"),
    ("llama", lambda state: state.update({"model.norm.weight": torch.ones(5)}),
     r"'model.norm.weight' is \[5\], the model needs \[16\]"),
    ("mixtral", lambda state: state.pop("model.layers.0.block_sparse_moe.experts.2.w2.weight"),
     r"make \[2, 16, 32\], the model needs \[3, 16, 32\] for 'llm.model.model.layers.0.mlp.experts.down_proj'"),
    ("gemma", lambda state: state.update({"lm_head.weight": torch.randn(328, WIDTH)}),
     r'set "tie_word_embeddings": false in its config.json'),
])
def test_what_does_not_belong_is_refused(name: str, change: Callable[[State], Any], sentence: str, tmp_path: Path
                                         ) -> None:
    folder = written(random_model(name), name, "save_pretrained", tmp_path / "llm")
    with pytest.raises(UserError, match=sentence):
        loaded_with(changed(folder, change))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", [(), ("module",), ("state_dict", "model")])
def test_as_training_programs_leave_it(prefix: str, wrapper: tuple[str, ...], tmp_path: Path) -> None:
    theirs = random_model("gpt2")
    folder = written(theirs, "gpt2", "bin", tmp_path / "llm")
    content: Any = torch.load(folder / "pytorch_model.bin")
    content = {prefix + name: value for name, value in content.items()}
    for name in reversed(wrapper):
        content = {name: content, "epoch": 3}
    torch.save(content, folder / "pytorch_model.bin")
    loaded = loaded_with(folder)
    assert all(torch.equal(value, loaded.model.llm.model.state_dict()[key])
               for key, value in theirs.state_dict().items())
    assert f"  all its names begin with '{prefix}', which was taken off" in loaded.load_report


def test_who_it_is_does_not_depend_on_the_form(tmp_path: Path) -> None:
    forms = ("save_pretrained", "bin", "two_shards", "without_transformer")
    theirs = random_model("gpt2")
    told = [describe_weights(written(theirs, "gpt2", form, tmp_path / form))[:2] for form in forms]
    assert told[0][0] == "language model: GPT2LMHeadModel, width 16, 2 layers, 328 rows" and told == [told[0]] * 4
    assert "28 tensors, as a GPT2LMHeadModel, width 16, 2 layers, 328 rows has them" in verify_weights(tmp_path / "bin")


def test_verify_holds_the_names_against_the_class(tmp_path: Path) -> None:
    folder = written(random_model("bloom"), "bloom", "save_pretrained", tmp_path / "llm")
    changed(folder, lambda state: state.pop("transformer.ln_f.bias"))
    with pytest.raises(UserError, match="nothing in the file for 'llm.model.transformer.ln_f.bias'"):
        verify_weights(folder)


def test_info_says_of_another_kind_what_it_is(tmp_path: Path) -> None:
    folder = written(random_model("llama"), "llama", "save_pretrained", tmp_path / "llm")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "model_type": "llava_llama", "mm_vision_tower": "clip"}))
    told = describe_weights(folder)
    assert told[0].startswith("config.json belongs to a whole LLaVA-like model") and "21 tensors" in told[1]


def test_a_prefix_of_some_names_stays(tmp_path: Path) -> None:
    folder = written(random_model("gpt2"), "gpt2", "save_pretrained", tmp_path / "llm")
    changed(folder, lambda state: [state.update({f"module.{name}": state.pop(name)}) for name in list(state)[1:]])
    with pytest.raises(UserError, match="'module.transformer.* belong nowhere in this model"):
        loaded_with(folder)


def test_quantised_and_read_straight_to_its_place(tmp_path: Path) -> None:
    """Experts, renamed keys and few bits together."""
    pytest.importorskip("bitsandbytes")
    folder = written(random_model("qwen2_moe"), "qwen2_moe", "save_pretrained", tmp_path / "llm")
    loaded = loaded_with(folder, quantize="int8")
    assert any("linear layers in int8" in line for line in loaded.load_report)
    assert Assistant(loaded).chat(tiny.image(1), "what is this", max_new_tokens=2) is not None
