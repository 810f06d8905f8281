"""A model, a task and a bundle of a few lines each, so that the loop is tested without a recipe or a data set.

The model reads ids [B, L] and images [N, 3, 2, 2]; every sample's numbers follow from its number alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minigpt4.common.process_group import ProcessGroup
from minigpt4.datasets.ledger import Ledger
from minigpt4.datasets.share import Share
from minigpt4.metrics.tally import Tally
from minigpt4.records.batches import IGNORED_LABEL, Batch, Output
from minigpt4.records.conversations import Unreadable
from minigpt4.runners.config import RunConfig
from minigpt4.runners.job import Job
from minigpt4.runners.optimizer import decays_by_dimension
from minigpt4.runners.parallel.replicated import Replicated
from minigpt4.tasks.task import Caption

VOCABULARY, LENGTH, WIDTH = 11, 6, 8


class FakeModel(nn.Module):
    """Image token in slot 0 of each row, then ids; predicts the next id from the sum of all so far."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vision = nn.Linear(12, WIDTH)
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, batch: Batch) -> Output:
        hidden = self.words(batch.input_ids)
        if batch.num_images:
            tokens = self.vision(batch.images["pixel_values"].flatten(1))
            hidden = torch.where((batch.slots >= 0)[..., None], tokens[batch.slots.clamp(min=0)], hidden)
        logits = self.head(self.dropout(hidden.cumsum(1)))[:, :-1]
        loss = F.cross_entropy(logits.reshape(-1, VOCABULARY), batch.labels[:, 1:].reshape(-1), reduction="sum",
                               ignore_index=IGNORED_LABEL)
        return Output(loss, batch.num_supervised)


def make_batch(samples: Iterable[int], *, images: bool = True) -> Batch:
    """Rows of those sample numbers, each with an image and 1 to 4 learned tokens; no samples = no rows."""
    numbers = list(samples)
    rows = [_row(number) for number in numbers]
    ids = torch.stack([ids for ids, _, _ in rows]) if rows else torch.zeros(0, LENGTH, dtype=torch.int64)
    labels = torch.stack([labels for _, labels, _ in rows]) if rows else ids
    slots = torch.full_like(ids, -1)
    if images:
        slots[:, 0] = torch.arange(len(rows))
    seen = {"pixel_values": torch.stack([pixels for _, _, pixels in rows])} if rows and images else {}
    return Batch(ids, torch.ones_like(ids), labels, slots, seen, sample_ids=[f"sample {n}" for n in numbers])


def _row(number: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(number)
    ids = torch.randint(VOCABULARY, (LENGTH,), generator=draw)
    labels = ids.clone()
    labels[: LENGTH - 1 - number % 4] = IGNORED_LABEL
    return ids, labels, torch.randn(3, 2, 2, generator=draw)


@dataclass
class FakeTask:
    """`rows` samples a micro-batch over all ranks; `change` may spoil a batch, given its global position."""

    group: ProcessGroup
    rows: int = 4
    epoch: int = 6
    measures: tuple[str, ...] = ("loss",)
    ledger: Ledger = field(default_factory=Ledger)
    holes: dict[int, int] = field(default_factory=dict)
    """position -> rank whose batch has no row there"""
    poisoned: frozenset[int] = frozenset()
    """positions with an image that is not a number"""
    textual: frozenset[int] = frozenset()
    """positions without images on the last rank"""

    def report(self) -> list[str]:
        return ["data fake: endless"]

    def data_identities(self) -> dict[str, str]:
        return {"0: fake": "endless"}

    def batches_per_epoch(self, begun_on: int | None = None) -> int:
        return self.epoch

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        rows = self.rows // (begun_on or self.group.world_size)
        share = Share(rows, self.group.rank, self.group.world_size, begun_on)
        for number in itertools.count(position * share.batches_per_step):
            batch = self._batch(share.step_of(number), share.positions(number))
            self.ledger.note(batch.input_ids.shape[0], [])
            yield batch

    def _batch(self, position: int, samples: range) -> Batch:
        if self.holes.get(position) == self.group.rank:
            empty = make_batch([])
            empty.unreadable.extend(Unreadable(f"sample {n}", "fake", "a hole") for n in samples)
            return empty
        last = self.group.rank == self.group.world_size - 1
        batch = make_batch(samples, images=not (position in self.textual and last))
        if position in self.poisoned and batch.num_images:
            batch.images["pixel_values"][0] = math.nan
        return batch

    def output(self, model: nn.Module, batch: Batch) -> Output:
        return model(batch)

    def evaluation_batches(self, split: str, limit: int | None) -> Iterable[Batch]:
        torch.rand(3)  # a measurement may draw what it likes
        return [make_batch(range(1000, 1004))]

    def measure(self, model: nn.Module, batch: Batch) -> dict[str, Tally]:
        output = self.output(model, batch)
        return {"loss": Tally(float(output.loss_sum), output.num_tokens)}

    def captions(self, split: str) -> list[Caption]:
        return [Caption("sample 1000", "a fake", "a real one")]


@dataclass
class FakeBundle:
    """All weights in one safetensors file."""

    model: nn.Module

    def save(self, folder: Path, step: int) -> None:
        save_file(dict(self.model.state_dict()), folder / "model.safetensors")

    def take_part(self) -> None:
        """It has no part that others hold."""

    def restore(self, folder: Path) -> list[str]:
        self.model.load_state_dict(load_file(folder / "model.safetensors"))
        return []


def make_job(folder: Path, *, group: ProcessGroup | None = None, dropout: float = 0.0, rows: int = 4,
             task: dict[str, Any] | None = None, job: dict[str, Any] | None = None, **run: Any) -> Job:
    """A job on the fakes; `run` are keys of the run section."""
    group = group or ProcessGroup()
    model = FakeModel(dropout)
    config = RunConfig(**{"output_dir": str(folder), "init_lr": 0.05, "max_epoch": 2, "device": "cpu",
                          "precision": "fp32", **run})
    settings = {"run.init_lr": str(config.init_lr), "run.seed": str(config.seed)}
    return Job(**{"run": config, "model": model, "task": FakeTask(group, rows, **(task or {})), "group": group,
                  "device": torch.device("cpu"), "bundle": FakeBundle(model),
                  "strategy": Replicated(group), "decay_rule": decays_by_dimension,
                  "settings": settings, **(job or {})})
