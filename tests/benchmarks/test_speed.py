"""The speed benchmarks compare the same work: same gradient, same tokens, on sizes of milliseconds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks import chat, train_step, yardstick

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardstick, "VISION", SMALL)
    monkeypatch.setattr(yardstick, "Q_FORMER", SMALL)
    monkeypatch.setattr(yardstick, "LLAMA", {**yardstick.LLAMA, **SMALL, "num_key_value_heads": 2})


def test_the_gradient_of_our_step_is_the_peers() -> None:
    """float32, relative 1e-5; dropping one label must show."""
    batch = train_step.random_batch()
    case = train_step.CASES[0]
    loss, peer = train_step.step_of(train_step.PEER, case)()
    same, ours = train_step.step_of(train_step.OURS, case)()
    stored_loss, stored = train_step.step_of(train_step.STORED, case)()
    batch.labels[0, -1] = -100
    _, other = train_step.our_step(yardstick.our_model().model.train(), batch)()
    assert same == pytest.approx(loss, rel=1e-6)
    assert stored_loss == pytest.approx(same, rel=1e-6) and (stored - ours).norm() <= 1e-6 * ours.norm()
    assert (ours - peer).norm() <= 1e-5 * peer.norm() and (stored - peer).norm() <= 1e-5 * peer.norm()
    assert (other - peer).norm() > 1e-3 * peer.norm()


def test_both_answer_with_the_same_tokens() -> None:
    ours = yardstick.our_model()
    peer = yardstick.peer_model(ours)
    prompts = chat.prompts_of(ours)
    pixels = chat.processor_of(ours)(chat.as_image_ref(chat.image())).unsqueeze(0)
    clock = iter(range(1000)).__next__
    mine = chat.our_conversation(ours, clock)
    theirs = chat.peer_conversation(peer, prompts, pixels, clock)
    assert [turn.said for turn in mine] == [turn.said for turn in theirs]
    assert len(mine) == chat.TURNS and all(len(turn.said) == chat.ANSWER for turn in mine)


def test_ratios_are_medians_of_ratios_within_a_round() -> None:
    def turns(*first: float) -> list[chat.TurnTime]:
        return [chat.TurnTime(value, 10.0, ()) for value in first]

    figures = chat.figures_of({"transformers": [turns(1, 2, 4), turns(2, 4, 8)], "minigpt4": [turns(1, 1, 1)] * 2})
    assert figures["turn_3_to_peer"] == round((1 / 4 + 1 / 8) / 2, 3) and figures["turn_3_to_turn_2"] == 1
    assert figures["first_token_ms"]["transformers"] == [1500.0, 3000.0, 6000.0]


def test_rows_have_bos_image_places_and_a_caption() -> None:
    batch = train_step.random_batch()
    assert (batch.input_ids[:, 0] == 1).all() and batch.slots.max() == 8 * 32 - 1
    assert ((batch.slots >= 0).sum(dim=1) == 32).all()
    assert torch.equal(batch.labels != -100, (batch.attention_mask == 1) & (torch.arange(89) > 32))


@pytest.mark.parametrize("name", ["stage2", "whole_language_model", "unequal_lengths"])
def test_every_form_of_the_step_does_the_work_of_its_first_variant(name: str) -> None:
    """Smaller samples of the case; loss 1e-6, gradient 1e-5 relative, float32."""
    case = next(case for case in train_step.CASES if case.name == name)
    case = replace(case, samples=2, longest=min(case.longest, 30), vocabulary=yardstick.VOCABULARY)
    (loss, gradient), *others = (train_step.step_of(variant, case)() for variant in case.variants
                                 if variant != train_step.HALF)
    for other, same in others:
        assert other == pytest.approx(loss, rel=1e-6) and (same - gradient).norm() <= 1e-5 * gradient.norm()


def test_a_missed_bar_is_told() -> None:
    variants = {"minigpt4": {"speed_ratio": 0.9}, "minigpt4_stored": {"speed_ratio": 1.8},
                "minigpt4_bf16_stored": {"speed_ratio": 2.0, "peak_mib": 80.0},
                "transformers": {"speed_ratio": 1.0, "peak_mib": 100.0}}
    results = {"cases": {"stage1": {"bars": {"minigpt4": 1.0, "minigpt4_stored": 1.7}, "variants": variants}}}
    assert train_step.missed(results) == ["stage1: minigpt4 is 0.9 x, the bar is 1.0",
                                          "memory: 80 MiB of 100, the bar is 0.75"]
