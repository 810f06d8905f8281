"""ViT, Q-Former, projected tokens, the variant without Q-Former, interpolation (fp32, CPU)."""

from __future__ import annotations

import re

import pytest
import torch

from tests.parity import minigpt4_folder as oracle


def _difference(found: torch.Tensor, recorded: torch.Tensor) -> float:
    """The largest, of tensors of one shape; not-a-number stays one and is never below a tolerance."""
    assert found.shape == recorded.shape
    return float((found - recorded).abs().max())


def _numbered(tensors: dict[str, torch.Tensor], word: str) -> dict[int, torch.Tensor]:
    """What was recorded after each block: 'block0_first2' is that of block 0, of the first images alone."""
    found = {name: re.fullmatch(rf"{word}(\d+)(_first\d+)?", name) for name in tensors}
    numbered = {int(match[1]): tensors[name] for name, match in found.items() if match}
    assert numbered, f"nothing recorded of any {word}"
    return numbered


def test_vit_and_every_block() -> None:
    case = oracle.read_case("vit")
    vision = oracle.model().model.parts()["vision"]
    names = case.values.get("images") or oracle.read_case("pixels_eval").values["images"]
    recorded = case.tensors
    blocks: list[torch.Tensor] = []

    def keep(layer: torch.nn.Module, given: object, made: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        blocks.append(made[0] if isinstance(made, tuple) else made)

    hooks = [layer.register_forward_hook(keep) for layer in vision.model.encoder.layers]
    with torch.no_grad():
        pixels = oracle.pixels(names[: len(recorded["features"])])
        normed = vision(pixels)
    for hook in hooks:
        hook.remove()
    assert _difference(normed, recorded["ln_vision"]) <= 2e-5
    assert _difference(blocks[-1], recorded["features"]) <= 2e-5
    numbered = _numbered(recorded, "block")
    assert sorted(numbered) == list(range(len(blocks)))
    for number, expected in numbered.items():
        assert _difference(blocks[number][: len(expected)], expected) <= 2e-5


def test_q_former_layer_by_layer() -> None:
    case = oracle.read_case("qformer")
    loaded = oracle.model()
    parts = loaded.model.parts()
    with torch.no_grad():
        image_tokens = parts["vision"](oracle.pixels(case.values["images"]))
        resampler = parts["resampler"]
        queries = resampler.query_tokens.expand(len(image_tokens), -1, -1)
        out = resampler.model(query_embeds=queries, encoder_hidden_states=image_tokens, output_hidden_states=True)
        projected = parts["connector"](out.last_hidden_state)
    for number, expected in _numbered(case.tensors, "hidden").items():
        assert _difference(out.hidden_states[number][: len(expected)], expected) <= 1e-5
    assert _difference(out.last_hidden_state, case.tensors["last_hidden_state"]) <= 1e-5
    assert _difference(projected, case.tensors["projected"]) <= 1e-5


def test_frozen_parts_stay_in_eval_mode() -> None:
    flags = oracle.read_case("qformer").values["training_flags"]
    parts = oracle.model().model.train().parts()
    names = {"visual_encoder": "vision", "ln_vision": "vision", "Qformer": "resampler", "llama_proj": "connector"}
    assert {theirs: parts[ours].training for theirs, ours in names.items()} == {n: flags[n] for n in names}


def test_without_q_former() -> None:
    case = oracle.read_case("noqformer_tokens")
    loaded = oracle.model(q_former=False)
    with torch.no_grad():
        tokens = loaded.model.encode_images({"pixel_values": oracle.pixels(case.values["images"])})
    assert tokens.shape[1] == case.values["merged_tokens"]
    assert _difference(tokens, case.tensors["projected"]) <= 1e-5


def test_interpolated_positions() -> None:
    case = oracle.read_case("interp")
    loaded = oracle.model(image_size=case.values["model_size"])
    vision = loaded.model.parts()["vision"]
    assert _difference(vision.model.embeddings.position_embedding.detach(), case.tensors["pos_embed"]) <= 2e-5
    with torch.no_grad():
        tokens = loaded.model.encode_images({"pixel_values": case.tensors["pixels"]})
    assert _difference(tokens, case.tensors["projected"]) <= 2e-5


def test_interpolated_positions_without_q_former() -> None:
    case = oracle.read_case("interp_noqformer")
    loaded = oracle.model(q_former=False, image_size=case.values["model_size"])
    pixels = oracle.read_case("interp").tensors["pixels"]
    with torch.no_grad():
        assert _difference(loaded.model.encode_images({"pixel_values": pixels}), case.tensors["projected"]) <= 2e-5


def test_trainable_names_and_shapes() -> None:
    """`model_keys`: what trains, and the shape of every parameter that ours shares with the original's."""
    recorded = oracle.read_case("model_keys").values
    loaded = oracle.model()
    trainable = {name for name, value in loaded.model.named_parameters() if value.requires_grad}
    assert {name.rsplit(".", 1)[-1] for name in trainable} == {n.rsplit(".", 1)[-1] for n in recorded["requires_grad"]}
    parameters = loaded.model.llm.model.named_parameters()
    language_model = {f"llama_model.{name}": list(value.shape) for name, value in parameters}
    expected = {name: shape for name, shape in recorded["parameters"].items() if name.startswith("llama_model.")}
    assert language_model == expected


@pytest.mark.parametrize("size", [28, 70])
def test_another_image_size_is_refused(size: int) -> None:
    loaded = oracle.model()
    if size == loaded.image_spec.size:
        size += 14
    with pytest.raises(ValueError, match="was built for"):
        loaded.model.encode_images({"pixel_values": torch.zeros(1, 3, size, size)})
