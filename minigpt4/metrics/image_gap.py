"""Does a model use its images? Loss with the images exchanged minus loss with the right ones.

Near 0 means that images are not used: the language model guesses from the words alone. Above 0 is what it gains.
"""

from __future__ import annotations

from dataclasses import replace

from minigpt4.records.batches import Batch


def with_exchanged_images(batch: Batch) -> Batch | None:
    """The same words, each image replaced by its neighbour in the batch; None if there are not two images.

    Moved by one place and not drawn: no image keeps its place, and the gap is the same number each time it is measured.
    """
    if batch.num_images < 2:
        return None
    return replace(batch, images={name: value.roll(1, dims=0) for name, value in batch.images.items()})
