"""Samples end to end in one row: the loss and gradient of padded rows, and nobody sees a neighbour (float32, CPU)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import varlen
from transformers import AutoConfig

from minigpt4.conversation.batching import Row, collate, pad
from minigpt4.models.language_models import next_token_loss, row_attention
from minigpt4.models.language_models.causal_lm import CausalLM
from minigpt4.models.language_models.next_token_loss import summed_cross_entropy
from minigpt4.models.language_models.row_attention import ROW_FAMILIES, attend
from minigpt4.models.lora import LoraConfig, add_adapters
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.records.batches import Batch, OneRow, Rendered, SampleBounds
from tests import tiny

LENGTHS = (5, 17, 9, 2)
USUAL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
         "max_position_embeddings": 32, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "attn_pdrop": 0.0,
             "resid_pdrop": 0.0, "embd_pdrop": 0.0},
    "opt": {"vocab_size": 50, "hidden_size": 16, "word_embed_proj_dim": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "ffn_dim": 32, "max_position_embeddings": 32, "dropout": 0.0},
    "gpt_neox": {**USUAL, "num_key_value_heads": 2},
    "mixtral": {**USUAL, "num_local_experts": 3},
    "qwen2_moe": {**USUAL, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8, "num_experts": 5,
                  "num_experts_per_tok": 2},
    "qwen3_moe": {**USUAL, "moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2},
}


def model(name: str, **values: Any) -> VisionLanguageModel:
    """A text-only model with weights that are far from uniform."""
    torch.manual_seed(3)
    llm = CausalLM(AutoConfig.for_model(name, **{**SIZES.get(name, USUAL), **values}))
    for parameter in llm.parameters():
        parameter.data = 0.3 * torch.randn_like(parameter)
    return VisionLanguageModel(None, llm)


def batch(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Batch:
    """Random words; the first two of each sample are not learned."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for length in lengths:
        ids = torch.randint(3, 50, (length,), generator=generator).tolist()
        rows.append(Rendered(ids, [-100, -100, *ids[2:]], [-1] * length))
    return pad(rows, pad_token_id=0)


def loss_and_gradients(of: VisionLanguageModel, given: Batch, *, padded: bool) -> tuple[float, dict[str, torch.Tensor]]:
    of.zero_grad()
    tokens = of.encode_images(given.images) if given.num_images else None
    output = of.in_padded_rows(given, tokens) if padded else of(given, tokens)
    output.loss_sum.backward()
    return output.loss_sum.item(), {name: value.grad.clone() for name, value in of.named_parameters()
                                    if value.grad is not None}


def compare(of: VisionLanguageModel, given: Batch) -> None:
    """Loss within 1e-6, the whole gradient within 1e-6, relative: the bars of float32 sums in another order."""
    assert of.llm.takes_one_row
    one, ours = loss_and_gradients(of, given, padded=False)
    other, theirs = loss_and_gradients(of, given, padded=True)
    assert one == pytest.approx(other, rel=1e-6) and ours.keys() == theirs.keys()
    difference = torch.cat([(ours[name] - theirs[name]).flatten() for name in theirs]).norm()
    assert difference <= 1e-6 * torch.cat([value.flatten() for value in theirs.values()]).norm()


@pytest.mark.parametrize("name", sorted(ROW_FAMILIES))
def test_every_family_says_in_one_row_what_it_says_in_padded_rows(name: str) -> None:
    compare(model(name), batch())


@pytest.mark.parametrize("name", ["mistral", "phi3"])
def test_a_sliding_window_stays_in_its_sample(name: str) -> None:
    compare(model(name, sliding_window=4), batch())


def test_a_language_model_outside_the_table_stays_in_padded_rows() -> None:
    bloom = model("bloom", hidden_size=16, n_layer=2, n_head=2)
    assert not bloom.llm.takes_one_row
    assert bloom(batch()).loss_sum.item() == bloom.in_padded_rows(batch()).loss_sum.item()


def test_the_routers_loss_is_made_of_padded_rows() -> None:
    experts = model("qwen3_moe")
    experts.llm.balance_experts(0.1)
    assert not experts.llm.takes_one_row and experts(batch()).auxiliary["router"] > 0


def test_a_changed_neighbour_changes_no_bit() -> None:
    """Other words in the second sample: the gradient of the others' embeddings is the same to the bit."""
    llm = model("llama").llm.requires_grad_(False)
    row = batch().row
    changed = row.input_ids.clone()
    changed[5:22] = changed[5:22].flip(0)

    def gradient(ids: torch.Tensor) -> torch.Tensor:
        embeddings = llm.embed(ids).requires_grad_()
        llm.summed_loss(embeddings, row).backward()
        assert embeddings.grad is not None
        return embeddings.grad

    one, other = gradient(row.input_ids), gradient(changed)
    rest = torch.ones(len(one), dtype=torch.bool)
    rest[5:22] = False
    assert torch.equal(one[rest], other[rest]) and not torch.equal(one[5:22], other[5:22])


@pytest.mark.parametrize("trained", ["everything", "adapters", "embeddings"])
def test_whatever_trains_has_the_gradient_of_padded_rows(trained: str) -> None:
    whole = model("llama")
    if trained == "adapters":
        whole.llm.requires_grad_(False)
        add_adapters(whole.llm, LoraConfig(r=2, dropout=0.0), where="model.llm.lora")
        for name, parameter in whole.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
    if trained == "embeddings":
        whole.llm.requires_grad_(False)
        whole.llm.model.get_input_embeddings().requires_grad_(True)
    compare(whole, batch())


def test_layers_that_are_computed_again_keep_to_their_samples() -> None:
    whole = model("llama")
    kept = loss_and_gradients(whole, batch(), padded=False)
    whole.llm.recompute_activations(during_training=True)
    again = loss_and_gradients(whole, batch(), padded=False)
    assert kept[0] == again[0] and all(torch.equal(kept[1][name], again[1][name]) for name in kept[1])


def test_images_stand_where_their_slots_are() -> None:
    """With images: the loss of padded rows and the gradient of the projection, relative 1e-6."""
    loaded = tiny.model()
    tokens = loaded.renderer.tokens_per_image
    rows = [Row(str(n), Rendered([1, *[0] * tokens, 5 + n, 6, *[7] * n], [-100] * (1 + tokens) + [5 + n, 6, *[7] * n],
                                 [-1, *range(tokens), -1, -1, *[-1] * n], (tokens,)),
                ({"pixel_values": torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(n))},))
            for n in range(3)]
    compare(loaded.model, collate(rows, pad_token_id=0))


def test_half_precision_attends_in_float32_on_a_cpu() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 7, 8, dtype=torch.bfloat16) for _ in range(3))
    bounds = SampleBounds.of((3, 4))
    said, _ = attend(torch.nn.Identity(), query, key, value, None, samples=bounds)
    exact, _ = attend(torch.nn.Identity(), query.float(), key.float(), value.float(), None, samples=bounds)
    assert said.dtype == torch.bfloat16 and torch.equal(said, exact.to(torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        again, _ = attend(torch.nn.Identity(), query, key, value, None, samples=bounds)
    assert torch.equal(said, again)


def test_under_autocast_too_whatever_rotary_positions_made_of_the_queries() -> None:
    """Queries and keys come in float32, values in half: all are the autocast's, computed in float32 on a CPU."""
    torch.manual_seed(0)
    query, key = torch.randn(1, 2, 7, 8), torch.randn(1, 2, 7, 8)
    value, bounds = torch.randn(1, 2, 7, 8, dtype=torch.bfloat16), SampleBounds.of((3, 4))
    exact, _ = attend(torch.nn.Identity(), query, key, value.float(), None, samples=bounds)
    with torch.autocast("cpu", torch.bfloat16):
        said, _ = attend(torch.nn.Identity(), query, key, value, None, samples=bounds)
    assert said.dtype == torch.bfloat16 and torch.equal(said, exact.to(torch.bfloat16))


@pytest.mark.parametrize("window", [None, 3])
def test_the_kernel_is_told_what_the_samples_are(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable-length kernel needs a GPU; in its place, its definition in torch's own words: [T, heads, width],
    starts of the samples, a window of positions to the left and right (-1 = all), key-value heads shared.
    """
    def by_definition(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, starts: torch.Tensor, other: torch.Tensor,
                      longest: int, most: int, *, scale: float | None, window_size: tuple[int, int],
                      enable_gqa: bool) -> torch.Tensor:
        assert starts is other and longest == most == 5 and enable_gqa and window_size[1] == 0
        said = torch.empty_like(q)
        for begin, end in zip(starts.tolist(), starts.tolist()[1:], strict=False):
            place = torch.arange(end - begin)
            back = place.unsqueeze(1) - place
            seen = (back >= 0) & ((back <= window_size[0]) if window_size[0] >= 0 else True)
            each = (part[begin:end].transpose(0, 1) for part in (q, k, v))
            said[begin:end] = F.scaled_dot_product_attention(*each, attn_mask=seen, scale=scale,
                                                             enable_gqa=True).transpose(0, 1)
        return said

    monkeypatch.setattr(varlen, "varlen_attn", by_definition)
    torch.manual_seed(0)
    query, bounds = torch.randn(1, 4, 8, 6), SampleBounds.of((5, 3))
    key, value = (torch.randn(1, 2, 8, 6) for _ in range(2))
    one = row_attention._by_kernel(query, key, value, 0.3, window, bounds)
    other = row_attention._one_by_one(query, key, value, 0.3, 0.0, window, bounds.lengths)
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_the_row_of_a_batch_has_no_padding() -> None:
    given = pad([Rendered([5, 6, 7], [-100, 6, 7], [-1, 0, -1], (1,)), Rendered([8], [8], [-1]),
                 Rendered([9, 4], [9, 4], [0, -1], (1,))], pad_token_id=0)
    for row in (given.row, OneRow.of(pad_left(given))):
        assert row.input_ids.tolist() == [5, 6, 7, 8, 9, 4] and row.positions.tolist() == [0, 1, 2, 0, 0, 1]
        assert row.slots.tolist() == [-1, 0, -1, -1, 1, -1]
        assert row.predicting.tolist() == [0, 1, 4] and row.targets.tolist() == [6, 7, 4]
        assert row.bounds.lengths == (3, 1, 2) and row.bounds.starts.tolist() == [0, 3, 4, 6]
    assert given.num_supervised == replace(given, prepared_row=given.row).num_supervised == 3


def pad_left(given: Batch) -> Batch:
    order = given.attention_mask.sort(dim=1, stable=True).indices
    values = (each.gather(1, order) for each in (given.input_ids, given.attention_mask, given.labels, given.slots))
    return Batch(*values)


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("trains", [(True, False, False), (True, True, True), (False, True, False)])
def test_the_chunked_loss_has_torchs_value_and_gradients(rows: int, trains: tuple[bool, ...],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """float32, relative 1e-6, for chunks of one row, of a few with a rest, and all at once."""
    monkeypatch.setattr(next_token_loss, "CHUNK", rows * 11)
    torch.manual_seed(0)
    values = [torch.randn(8, 5), torch.randn(11, 5), torch.randn(11)]
    targets = torch.randint(0, 11, (8,))
    ours, theirs = ([value.clone().requires_grad_(wanted) for value, wanted in zip(values, trains, strict=True)]
                    for _ in range(2))
    loss = summed_cross_entropy(ours[0], ours[1], ours[2], targets)
    expected = F.cross_entropy(F.linear(*theirs), targets, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    (0.5 * loss).backward()
    (0.5 * expected).backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None and other.grad is not None:
            assert (mine.grad - other.grad).norm() <= 1e-6 * other.grad.norm()
