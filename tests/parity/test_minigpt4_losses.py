"""Ids, labels, losses and gradients of every recorded batch (fp32, CPU; tolerances as the recording states them)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.conversation.batching import pad
from minigpt4.records.batches import Batch
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests.parity import minigpt4_folder as oracle

LOSS_TOLERANCE = 5e-6
GRADIENT_TOLERANCE = 1e-4

TRAINED_NAMES = {
    "llama_proj.": "connector.projection.",
    "ln_vision.": "vision.model.post_layernorm.",
    "query_tokens": "resampler.query_tokens",
    "Qformer.bert.embeddings.LayerNorm.": "resampler.model.layernorm.",
}


def _model(case: oracle.Case) -> LoadedModel:
    values: dict[str, Any] = {key: case.values[key] for key in ("max_txt_len", "end_sym", "prompt_template")
                              if key in case.values}
    if "prompt_path" in case.values:
        values["prompt_path"] = str(oracle.folder() / case.values["prompt_path"])
    train = case.values.get("freeze_vit") is False
    return oracle.model(q_former=oracle.is_q_former(case), april=case.april, train=train, **values)


def _conversations(case: oracle.Case) -> list[Conversation]:
    before, _, after = case.values.get("prompt_template", "{}").partition("{}")
    questions = case.values.get("instruction_input") or [IMAGE_MARK] * len(case.values["texts"])
    return [
        Conversation(
            (Turn("user", question.removeprefix(before).removesuffix(after)), Turn("assistant", text)),
            (ImageRef(data=b"", name=image),),
        )
        for question, text, image in zip(questions, case.values["texts"], case.values["images"], strict=True)
    ]


def _draw(case: oracle.Case, loaded: LoadedModel) -> int:
    """Number of the prompt that the original drew for this batch."""
    if not case.values.get("prompt_chosen"):
        return 0
    (chosen,) = case.values["prompt_chosen"]
    return [case.values["prompt_template"].format(prompt) for prompt in loaded.renderer.prompts].index(chosen)


def _batch(case: oracle.Case, loaded: LoadedModel) -> Batch:
    draw = _draw(case, loaded)
    rows = [loaded.renderer.render(conversation, draw) for conversation in _conversations(case)]
    renderer = loaded.renderer
    batch = pad(rows, pad_token_id=renderer.pad_token_id)
    batch.images = {"pixel_values": oracle.pixels(case.values["images"])}
    return batch


def _layout(batch: Batch, tokens_per_image: int) -> torch.Tensor:
    """As recorded: ids, and -1-k at image token k of the row."""
    return torch.where(batch.slots >= 0, -1 - batch.slots % tokens_per_image, batch.input_ids)


@pytest.mark.parametrize("name", oracle.case_names("loss_"))
def test_batch(name: str) -> None:
    case = oracle.read_case(name)
    loaded = _model(case)
    batch = _batch(case, loaded)
    recorded_mask = case.tensors["attention_mask"]
    assert not recorded_mask[:, batch.attention_mask.shape[1] :].any(), "beyond our width there is only padding"
    recorded_mask, recorded_labels, recorded_layout = (
        case.tensors[name][:, : batch.attention_mask.shape[1]] for name in ("attention_mask", "labels", "layout")
    )
    real = recorded_mask.bool()
    assert torch.equal(batch.attention_mask, recorded_mask)
    assert torch.equal(batch.labels, recorded_labels)
    layout = _layout(batch, loaded.renderer.tokens_per_image)
    assert torch.equal(layout[real], recorded_layout[real])

    output = loaded.model(batch)
    loss = output.loss_sum / output.num_tokens
    assert output.num_tokens == case.values.get("n_target_tokens", output.num_tokens)
    assert loss.item() == pytest.approx(case.values["loss"], abs=LOSS_TOLERANCE)
    loss.backward()
    _compare_gradients(case, loaded)


def _compare_gradients(case: oracle.Case, loaded: LoadedModel) -> None:
    parameters = {f"{part}.{name}": value for part, module in loaded.model.parts().items()
                  for name, value in module.named_parameters()}
    recorded = {name.removeprefix("grad."): value for name, value in case.tensors.items() if name.startswith("grad.")}
    assert recorded
    for name, expected in recorded.items():
        found = _gradient(name, parameters)
        scale = expected.abs().max().clamp_min(1e-12)
        assert ((found - expected).abs().max() / scale).item() < GRADIENT_TOLERANCE, name


def _gradient(name: str, parameters: dict[str, torch.nn.Parameter]) -> torch.Tensor:
    """The gradient under the original's name."""
    for theirs, ours in TRAINED_NAMES.items():
        if name.startswith(theirs):
            return _of(parameters[ours + name.removeprefix(theirs)])
    if name.startswith("Qformer.bert.encoder.layer."):
        inner = name.removeprefix("Qformer.bert.").replace("attention.self.", "attention.attention.")
        return _of(parameters[f"resampler.model.{inner}"])
    return _vision_gradient(name.removeprefix("visual_encoder."), parameters)


def _vision_gradient(name: str, parameters: dict[str, torch.nn.Parameter]) -> torch.Tensor:
    simple = {"cls_token": "class_embedding", "pos_embed": "position_embedding",
              "patch_embed.proj.bias": "patch_embedding.bias", "patch_embed.proj.weight": "patch_embedding.weight"}
    if name in simple:
        return _of(parameters[f"vision.model.embeddings.{simple[name]}"])
    _, number, _, leaf = name.split(".")
    bias = _of(parameters[f"vision.model.encoder.layers.{number}.self_attn.qkv.bias"])
    query, key, value = bias.chunk(3)
    assert torch.count_nonzero(key) == 0, "the original has no k bias"
    return {"q_bias": query, "v_bias": value}[leaf]


def _of(parameter: torch.nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


@pytest.mark.parametrize("name", oracle.case_names("loss_", tensor="logits_row0"))
def test_embeddings_and_logits_of_the_first_row(name: str) -> None:
    case = oracle.read_case(name)
    loaded = _model(case)
    batch = _batch(case, loaded)
    with torch.no_grad():
        tokens = loaded.model.encode_images(batch.images)
        embeddings = loaded.model.embed(batch.input_ids, batch.slots, tokens)
        logits = loaded.model.llm.model(inputs_embeds=embeddings, attention_mask=batch.attention_mask).logits
    real = batch.attention_mask[0].bool()
    recorded = case.tensors
    torch.testing.assert_close(embeddings[0][real], recorded["inputs_embeds_row0"][real], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits[0][real], recorded["logits_row0"][real], atol=5e-5, rtol=0)


@pytest.mark.parametrize("name", oracle.case_names("loss_"))
def test_every_recorded_string_has_the_recorded_ids(name: str) -> None:
    case = oracle.read_case(name)
    tokenizer = oracle.model(q_former=oracle.is_q_former(case)).tokenizer
    for call in case.values["tokenizer_calls"]:
        texts = [call["text"]] if isinstance(call["text"], str) else call["text"]
        padding = case.values.get("pad_token_id")
        for text, recorded in zip(texts, call["ids"], strict=True):
            ids = tokenizer.encode(text, specials=True)
            limit = call.get("truncation_max_length") or len(ids)
            assert ids[:limit] == recorded[: len(ids[:limit])], text
            assert set(recorded[len(ids[:limit]) :]) <= {padding}, text
