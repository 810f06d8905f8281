"""Gradients of a window: exact under accumulation, weighted by tokens, never a mean of nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup
from minigpt4.records.batches import Batch, Output
from minigpt4.runners.precision import Precision
from minigpt4.runners.window import WindowGradient
from tests.runners.fakes import FakeModel, FakeTask, make_batch

FP32 = Precision("fp32", "cpu")
CPU = torch.device("cpu")


def _gradient(model: nn.Module, window: list[Batch]) -> dict[str, Tensor]:
    task = FakeTask(ProcessGroup())
    WindowGradient(model, task, ProcessGroup(), FP32, CPU)(window, FP32.scaler())
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_one_batch_of_32_equals_four_of_8() -> None:
    whole = _gradient(FakeModel(), [make_batch(range(32))])
    parts = _gradient(FakeModel(), [make_batch(range(first, first + 8)) for first in range(0, 32, 8)])
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-6, atol=1e-7)


def test_the_loss_is_the_mean_over_tokens_not_over_batches() -> None:
    window = [make_batch([0]), make_batch([1, 2, 3])]
    model = FakeModel()
    outputs = [model(batch) for batch in window]
    expected = sum(output.loss_sum for output in outputs) / sum(output.num_tokens for output in outputs)
    expected.backward()
    by_hand = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, gradient in _gradient(FakeModel(), window).items():
        torch.testing.assert_close(gradient, by_hand[name])


def test_auxiliary_losses_are_averaged_over_micro_batches() -> None:
    class WithAuxiliary(FakeModel):
        def forward(self, batch: Batch) -> Output:
            output = super().forward(batch)
            return Output(output.loss_sum * 0, output.num_tokens, {"balance": self.head.bias.sum() * 3})

    gradient = _gradient(WithAuxiliary(), [make_batch([0]), make_batch([1, 2]), make_batch([3])])
    torch.testing.assert_close(gradient["head.bias"], torch.full_like(gradient["head.bias"], 3.0))


def test_a_micro_batch_without_rows_or_images_touches_everything_with_nothing() -> None:
    with_empty = _gradient(FakeModel(), [make_batch(range(4)), make_batch([])])
    without = _gradient(FakeModel(), [make_batch(range(4))])
    for name, gradient in without.items():
        assert torch.equal(with_empty[name], gradient)
    text_only = _gradient(FakeModel(), [make_batch(range(4), images=False)])
    assert not text_only["vision.weight"].any()


def test_a_window_without_a_supervised_token_is_an_error_that_names_samples() -> None:
    batch = make_batch([])
    batch.unsupervised.append("sample 7")
    with pytest.raises(UserError, match="no token to learn from .*sample 7"):
        _gradient(FakeModel(), [batch])


def test_bad_micro_batches_are_told() -> None:
    bad = make_batch([1])
    assert bad.num_images
    bad.images["pixel_values"][:] = torch.inf
    result = WindowGradient(FakeModel(), FakeTask(ProcessGroup()), ProcessGroup(), FP32, CPU)(
        [make_batch([0]), bad], FP32.scaler())
    assert [batch.sample_ids for batch in result.bad_batches] == [["sample 1"]]
