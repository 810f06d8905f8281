"""8 and 4 bit on CPU: only the language model's inner linear layers, near the full model, gradients through them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import load_config
from minigpt4.common.errors import UserError
from minigpt4.inference.load import Assistant
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.language_models.quantized import is_quantized
from minigpt4.records.conversations import caption_conversation
from minigpt4.records.images import ImageRef
from tests import tiny

WIDTH = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of 64 wide as a Hugging Face folder."""
    import shutil

    place = tmp_path_factory.mktemp("llm")
    sizes = {"model_type": "llama", "hidden_size": WIDTH, "intermediate_size": 128, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 256}
    full = tiny.model(llm=CausalLMConfig(random=sizes, tokenizer=str(tiny.tokenizer_folder())))
    full.model.llm.model.save_pretrained(place)
    for file in tiny.tokenizer_folder().iterdir():
        shutil.copy(file, place)
    return place


def loaded(folder: Path, quantize: str | None) -> LoadedModel:
    return tiny.model(llm=CausalLMConfig(weights=str(folder), quantize=quantize))  # type: ignore[arg-type]


def linear_layers(model: nn.Module) -> list[nn.Module]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


def inner_bytes(model: LoadedModel) -> int:
    """Bytes of the language model's inner linear layers, scales included."""
    inner = [layer for layer in linear_layers(model.model.llm.model.model)]
    return sum(value.numel() * value.element_size() for layer in inner for value in layer.state_dict().values()
               if isinstance(value, torch.Tensor))


def projection_gradient(model: LoadedModel) -> torch.Tensor:
    from minigpt4.conversation.batching import pad

    rows = [model.renderer.render(caption_conversation(ImageRef(data=b"x"), text)) for text in ("a red rose", "world")]
    batch = pad(rows, pad_token_id=0)
    batch.images = {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
    model.model(batch).loss_sum.backward()
    return model.model.parts()["connector"].projection.weight.grad.reshape(-1)


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_only_the_inner_layers_of_the_language_model_are_quantised(kind: str, folder: Path) -> None:
    model = loaded(folder, kind).model
    of_llm = linear_layers(model.llm.model.model)
    assert len(of_llm) == 2 * 7 and all(is_quantized(layer) for layer in of_llm)
    others = [layer for layer in linear_layers(model) if not any(layer is inner for inner in of_llm)]
    assert others and not any(is_quantized(layer) for layer in others), "output layer, encoders, projection stay whole"


@pytest.mark.parametrize(("kind", "share", "cosine"), [("int8", 0.30, 0.995), ("nf4", 0.20, 0.9)])
def test_footprint_and_gradient_of_the_projection(kind: str, share: float, cosine: float, folder: Path) -> None:
    """float32 compute. 4 bit has no bar of its own; its scales weigh more in so small a model."""
    full, small = loaded(folder, None), loaded(folder, kind)
    assert inner_bytes(small) <= share * inner_bytes(full)
    similarity = torch.nn.functional.cosine_similarity(projection_gradient(full), projection_gradient(small), dim=0)
    assert similarity >= cosine


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_a_quantised_model_chats(kind: str, folder: Path) -> None:
    answer = Assistant(loaded(folder, kind)).chat(tiny.image(1), "what is this", max_new_tokens=8)
    assert isinstance(answer, str) and answer


def test_the_originals_key_means_8_bit(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "eval.yaml"
    file.write_text(f"model: {{arch: minigpt4, model_type: custom, behaviour: standard, low_resource: True, "
                    f"device_8bit: 0, llama_model: {folder}}}\n")
    assert load_config(file, sections=("model",)).model.llm.quantize == "int8"
    file.write_text(file.read_text().replace("True", "False"))
    assert load_config(file, sections=("model",)).model.llm.quantize is None


def test_a_model_that_trains_is_not_quantised() -> None:
    with pytest.raises(UserError, match="model.llm.quantize: is int8, but the language model trains"):
        CausalLMConfig(weights="vicuna", quantize="int8", freeze=False)


def test_a_bundles_own_language_model_is_quantised_after_loading() -> None:
    sizes = {"model_type": "llama", "hidden_size": WIDTH, "intermediate_size": 128, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 2}
    model = tiny.model(llm=CausalLMConfig(random=sizes, tokenizer=str(tiny.tokenizer_folder()), quantize="int8"))
    assert all(is_quantized(layer) for layer in linear_layers(model.model.llm.model.model))


def test_u13_without_bitsandbytes_one_sentence(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"pip install 'minigpt4\[quantized\]', or continue without: model"):
        loaded(folder, "int8")
