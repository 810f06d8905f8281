"""Nothing in a micro-batch waits for the device: operations that read a number from it are counted (CPU, fp32)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from minigpt4.common.process_group import ProcessGroup
from minigpt4.conversation.batching import Row, collate
from minigpt4.records.batches import Batch, Output, Rendered
from minigpt4.runners.config import RunConfig
from minigpt4.runners.precision import Precision
from minigpt4.runners.schedules import build_schedule
from minigpt4.runners.timetable import Timetable
from minigpt4.runners.update import Update
from minigpt4.runners.window import WindowGradient
from tests import tiny

FP32, CPU = Precision("fp32", "cpu"), torch.device("cpu")
WAITING = ("_local_scalar_dense", "nonzero", "nonzero_static", "is_nonzero", "masked_select", "equal", "unique",
           "_unique2", "unique_consecutive", "unique_dim", "item", "bincount", "_is_all_true", "_is_any_true")
"""operations whose result the host must know before it goes on"""


class Waits(TorchDispatchMode):
    """Counts them, also where a tensor is indexed by truth values, which asks how many are true."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_truth = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1])
        if name in WAITING or by_truth:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


class OneStep:
    """The model's own loss."""

    def output(self, model: nn.Module, batch: Batch) -> Output:
        output: Output = model(batch)
        return output


def micro_batch(seed: int, tokens: int) -> Batch:
    """Three samples of unequal lengths with an image each, as the loader makes them."""
    draw = torch.Generator().manual_seed(seed)
    rows = []
    for number in range(3):
        words = torch.randint(3, 50, (4 + 3 * number,), generator=draw).tolist()
        rendered = Rendered([1, *[0] * tokens, *words], [-100] * (1 + tokens) + words,
                            [-1, *range(tokens), *[-1] * len(words)], (tokens,))
        rows.append(Row(str(number), rendered, ({"pixel_values": torch.randn(3, 16, 16, generator=draw)},)))
    return collate(rows, pad_token_id=0)


@pytest.mark.parametrize("trained", ["projection", "language model"])
@pytest.mark.parametrize("micro_batches", [1, 4])
def test_micro_batches_wait_for_nothing_and_an_update_for_its_norm(trained: str, micro_batches: int) -> None:
    """Beside them, the losses of a window are read at its end, all at once: `tolist` is no operation that is seen."""
    loaded = tiny.model()
    model = loaded.model.requires_grad_(False)
    (model.parts()["connector"] if trained == "projection" else model.llm).requires_grad_(True)
    gradient = WindowGradient(model.train(), OneStep(), ProcessGroup(), FP32, CPU)  # type: ignore[arg-type]
    timetable = Timetable(1, 4, 1)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], fused=True)
    update = Update(optimizer, build_schedule(RunConfig(device="cpu"), timetable), FP32.scaler(), 1.0)
    window = [micro_batch(seed, loaded.renderer.tokens_per_image) for seed in range(micro_batches)]
    with Waits() as waits:
        gradient(window, update.scaler)
    assert waits.counts == {}
    with Waits() as waits:
        update.apply(timetable.at(0))
    assert waits.counts == {"_local_scalar_dense": 1}


def test_a_wait_is_seen() -> None:
    with Waits() as waits:
        values = torch.arange(3.0)
        values[values > 0].sum().item()
        torch.nonzero(values)
    assert waits.counts == {"index": 1, "_local_scalar_dense": 1, "nonzero": 1}


def counted(model: nn.Module, batch: Batch) -> Mapping[str, int]:
    with Waits() as waits:
        model(batch).loss_sum.backward()
    return waits.counts


def test_forward_and_backward_of_a_micro_batch_wait_for_nothing() -> None:
    loaded = tiny.model()
    batch = micro_batch(0, loaded.renderer.tokens_per_image).to("cpu")
    assert counted(loaded.model.train(), batch) == {}
    batch.prepared_row = None  # as if the loader had not made it: then the row is made of what the device holds
    assert counted(loaded.model, batch)
