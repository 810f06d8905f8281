"""What a sample is for the model: ids, labels and slots; and what the model answers.

B samples, L positions, N images of the whole batch, R image tokens of the whole batch end to end.
`slots` says where image tokens go: -1 = text, else a row of the R image tokens. Ids at slots are not looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from minigpt4.records.conversations import Unreadable

IGNORED_LABEL = -100
PIXELS = "pixel_values"
"""name of the images' pixels among a batch's `images`"""


@dataclass(frozen=True)
class Rendered:
    """One conversation as numbers. All three lists have the length of the sequence.

    `slots` counts from 0 within this sample: the first image holds rows 0 to image_lengths[0] - 1, the second
    continues.
    """

    ids: list[int]
    labels: list[int]
    slots: list[int]
    image_lengths: tuple[int, ...] = ()
    """tokens of each image that has its place in the row"""

    @property
    def num_images(self) -> int:
        return len(self.image_lengths)

    @property
    def num_supervised(self) -> int:
        """Labels that are scored: the first position predicts nothing before it."""
        return sum(label != IGNORED_LABEL for label in self.labels[1:])


@dataclass
class Batch:
    """Padded rows (right in training) with their images. A batch whose rows were all unreadable has B = 0."""

    input_ids: Tensor
    """[B, L] int64"""
    attention_mask: Tensor
    """[B, L] int64, 1 = real"""
    labels: Tensor
    """[B, L] int64, unshifted, -100 = not learned"""
    slots: Tensor
    """[B, L] int64, -1 = text, else a row of the batch's image tokens"""
    images: Mapping[str, Tensor] = field(default_factory=dict)
    """what the visual path starts from, each [N, …], images of all rows in order: `pixel_values` [N, 3, S, S] float32,
    or values of frozen stages that were stored; empty for text only"""
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    """[B, …] by name: what every row brings to be learned or measured beside its words"""
    sample_ids: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    """holes of this batch"""
    unsupervised: list[str] = field(default_factory=list)
    """ids of samples without a learned token, left out"""

    @property
    def num_images(self) -> int:
        return next((value.shape[0] for value in self.images.values()), 0)

    @property
    def num_supervised(self) -> int:
        return int((self.labels[:, 1:] != IGNORED_LABEL).sum())

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device), self.slots.to(device),
            {name: value.to(device) for name, value in self.images.items()},
            {name: value.to(device) for name, value in self.targets.items()},
            self.sample_ids, self.unreadable, self.unsupervised,
        )


@dataclass
class Output:
    """What the model says of a batch: the summed loss, to be divided by the tokens of the whole window."""

    loss_sum: Tensor
    """[] float32, sum over supervised tokens"""
    num_tokens: int
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    """weighted losses that are averaged over micro-batches and ranks (mixture of experts), by name"""
