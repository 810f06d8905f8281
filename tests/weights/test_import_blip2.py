"""A Blip2 folder becomes a bundle of ours: equal tensors after a round trip, equal logits from the stock class."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Blip2Config, Blip2ForConditionalGeneration

from minigpt4.assembly.probe import difference, logits_of, probe_of
from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.ecosystem.blip2_import import form_plan, import_blip2
from minigpt4.ecosystem.exporting import export_blip2
from minigpt4.inference.load import load, load_model
from minigpt4.models.language_models.causal_lm import CausalLM
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.systems.minigpt4.config import MiniGPT4Config
from minigpt4.systems.minigpt4.system import MiniGPT4
from minigpt4.weights.files.readers import open_weights
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.loading import target_shapes
from minigpt4.weights.plans.plan import match
from tests import tiny
from tests.parity import minigpt4_folder as oracle

VISION = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 28, "patch_size": 14}
Q_FORMER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
            "encoder_hidden_size": 24, "cross_attention_frequency": 2}
LANGUAGE_MODELS = {
    "llama": {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
              "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 330},
    "opt": {"model_type": "opt", "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
            "word_embed_proj_dim": 32, "vocab_size": 330, "max_position_embeddings": 128},
}


def stock(folder: Path, language_model: str, epsilon: float = 1e-6) -> Any:
    """A stock model whose weights are all away from 0 and 1, its folder written by transformers."""
    config = Blip2Config(vision_config={**VISION, "layer_norm_eps": epsilon}, qformer_config=Q_FORMER,
                         num_query_tokens=5, image_token_index=329, text_config=LANGUAGE_MODELS[language_model])
    model = Blip2ForConditionalGeneration(config).eval()
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.15 * torch.randn(parameter.shape, generator=draw))
        for layer in model.vision_model.encoder.layers:
            layer.self_attn.qkv.bias[24:48] = 0
    model.save_pretrained(folder)
    for file in tiny.tokenizer_folder().iterdir():
        shutil.copyfile(file, folder / file.name)
    return model


@pytest.mark.parametrize(("language_model", "epsilon"), [("llama", 1e-6), ("opt", 1e-5)])
def test_the_stock_class_and_ours_give_the_same_logits(language_model: str, epsilon: float, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    """1e-4: the stock class has one epsilon in the vision encoder, the original and ours have two."""
    theirs = stock(tmp_path / "blip2", language_model, epsilon)
    command = ["weights", "import-blip2", "--from", str(tmp_path / "blip2"), "--target", str(tmp_path / "bundle")]
    assert main([*command, "--template", "vicuna_v0"]) == 0
    printed = capsys.readouterr().out
    assert f"have eps {epsilon:.0e} there; here it is 1e-6, and 1e-5 for the last" in printed
    assert "template vicuna_v0" in printed
    shutil.rmtree(tmp_path / "blip2")
    ours = load_model(tmp_path / "bundle", device="cpu")
    assert ours.renderer.chat.name == "vicuna_v0"
    probe = probe_of(ours, without=329)
    ids = probe.with_place_holder(329)
    with torch.no_grad():
        expected = theirs(pixel_values=probe.pixel_values, input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert difference(expected, logits_of(ours.model, probe)) <= 1e-4
    assert isinstance(load(tmp_path / "bundle").chat(tiny.image(1), "what is this", max_new_tokens=4), str)


@pytest.mark.parametrize("language_model", LANGUAGE_MODELS)
def test_in_and_out_again_changes_nothing(language_model: str, tmp_path: Path) -> None:
    stock(tmp_path / "blip2", language_model)
    import_blip2(tmp_path / "blip2", tmp_path / "bundle")
    export_blip2(load_model(tmp_path / "bundle", device="cpu"), tmp_path / "again")
    before, after = (open_weights(tmp_path / name) for name in ("blip2", "again"))
    assert set(before.names) == set(after.names)
    assert all(torch.equal(before.load(name), after.load(name)) for name in before.names)


def test_out_and_in_again_changes_nothing(tmp_path: Path) -> None:
    before = oracle.model()
    export_blip2(before, tmp_path / "blip2")
    import_blip2(tmp_path / "blip2", tmp_path / "bundle")
    after = load_model(tmp_path / "bundle", device="cpu")
    probe = probe_of(before)
    assert difference(logits_of(before.model, probe), logits_of(after.model, probe)) <= 1e-6
    state, again = before.model.state_dict(), after.model.state_dict()
    assert state.keys() == again.keys() and all(torch.equal(state[key], again[key]) for key in state)


def test_every_name_of_a_real_size_has_its_place() -> None:
    """BLIP-2 with OPT 2.7B: every tensor of the stock class is used and every one of ours made."""
    config = Blip2Config(text_config={"model_type": "opt", "hidden_size": 2560, "ffn_dim": 10240,
                                      "num_hidden_layers": 32, "num_attention_heads": 32, "word_embed_proj_dim": 2560})
    with torch.device("meta"):
        theirs = Blip2ForConditionalGeneration(config).state_dict()
        llm = CausalLM(config.text_config)
        parts = VisionLanguageModel(MiniGPT4.visual_path(MiniGPT4Config(), llm.width), llm).parts()
    ours = target_shapes(parts)
    shapes = {name: tuple(value.shape) for name, value in theirs.items()}
    file = TensorFile(Path("real sizes"), shapes, dict.fromkeys(shapes, torch.float16), theirs.__getitem__)
    matched = match(form_plan(MiniGPT4.forms["blip2"], llm)(file), shapes, ours, where="real sizes")
    assert not matched.ignored
    assert {source for each in matched.assignments for source in each.sources} == set(shapes)
    assert {each.target for each in matched.assignments} == set(ours)


def change(folder: Path, *keys: str, value: Any) -> None:
    """Another value in config.json."""
    values = json.loads((folder / "config.json").read_text())
    place = values
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize(("keys", "value", "sentence"), [
    (("model_type",), "llava", "belongs to a llava, not to a blip-2"),
    (("text_config", "model_type"), "t5", r"the language model \(t5\) has an encoder and a decoder"),
    (("vision_config", "layer_norm_eps"), 1e-3, "vision_config.layer_norm_eps is 0.001, our part has 1e-06"),
    (("num_query_tokens",), 6, r"'query_tokens' is \[1, 5, 16\], the model needs \[1, 6, 16\]"),
    (("qformer_config", "num_hidden_layers"), 2, "'qformer.encoder.layer.2.*belong nowhere in this model"),
    (("vision_config", "num_hidden_layers"), 3, "nothing in the file for 'vision.model.encoder.layers.2"),
])
def test_what_does_not_fit_is_refused(keys: tuple[str, ...], value: Any, sentence: str, tmp_path: Path) -> None:
    stock(tmp_path / "blip2", "llama")
    change(tmp_path / "blip2", *keys, value=value)
    with pytest.raises(UserError, match=sentence):
        import_blip2(tmp_path / "blip2", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_other_pixels_are_refused(tmp_path: Path) -> None:
    stock(tmp_path / "blip2", "llama")
    (tmp_path / "blip2" / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5, 0.5, 0.5]}))
    with pytest.raises(UserError, match="image_mean is .*, images here have"):
        import_blip2(tmp_path / "blip2", tmp_path / "bundle")
