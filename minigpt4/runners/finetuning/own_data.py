"""What a run must know of own data, and the files of lines where some are kept back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minigpt4.datasets.hold_out import Split, split_by_image
from minigpt4.datasets.own_texts import OwnTexts

log = logging.getLogger(__name__)

HELD_OUT = "held_out"
"""name of the split that is kept back"""


@dataclass(frozen=True)
class OwnData:
    """What a run must know of its data.

    Args:
        images: folder of the images.
        texts: the JSONL that is trained on: the person's, or the lines of it that were not kept back.
        num_samples: its lines.
        longest_answer: tokens of the longest answer of all, without an end symbol.
        held_out: the JSONL of what is kept back; None = nothing is.
        num_held_out: its lines.
    """

    images: Path
    texts: Path
    num_samples: int
    longest_answer: int
    held_out: Path | None = None
    num_held_out: int = 0


def data_of_run(data: OwnTexts, split: Split | None, folder: Path, count_tokens: Callable[[str], int]) -> OwnData:
    """Own data as a run in `folder` uses them.

    Args:
        data: all that was read.
        split: what of it is kept back, in files of its own in the folder.
        folder: the run folder.
        count_tokens: length of a text for the model.
    """
    longest = max(map(count_tokens, data.answers()), default=0)
    if split is None:
        return OwnData(data.images, data.texts, len(data.samples), longest)
    return OwnData(data.images, folder / "train.jsonl", len(split.train), longest,
                   folder / f"{HELD_OUT}.jsonl", len(split.held_out))


def keep_back(data: OwnTexts, share: float | None, seed: int) -> Split | None:
    """The split that a person asked for, told in a line; None where nothing is kept back."""
    if share is None:
        log.info("%d samples train; nothing is kept back to be asked about (--hold-out 0.1)", len(data.samples))
        return None
    split = split_by_image(data, share, seed)
    log.info("%d samples train; %d samples about %d images are kept back and asked about at the end",
             len(split.train), len(split.held_out), split.held_out_images)
    return split
