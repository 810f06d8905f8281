"""Whether a feature store would pay: how large it gets, and what share of a run's arithmetic it spares."""

from __future__ import annotations

from minigpt4.runners.planning.memory import Load, operations_per_sample
from minigpt4.runners.planning.sizes import ModelSize, PartSize

WORTH = 0.05
"""share of the arithmetic below which disk and care cost more than they give"""


def store_line(size: ModelSize, load: Load, *, images: int, samples_seen: int) -> str:
    """One sentence for `plan`.

    Args:
        size, load: the model and what a step works on.
        images: different ones, one a sample.
        samples_seen: by the whole run.
    """
    frozen = _frozen_head(size)
    if not frozen:
        return "feature store: nothing can be stored, the first part that sees pixels trains"
    last = frozen[-1]
    tokens = last.tokens if last is size.parts[0] else size.image_tokens  # what reads an encoder chooses how many
    gigabytes = images * tokens * last.width * load.value_bytes / 1e9
    share = sum(2 * part.parameters * part.tokens for part in frozen) / operations_per_sample(size, load)
    seen = samples_seen / max(images, 1)
    spared = share * max(0.0, 1 - 1 / max(seen, 1e-9))
    verdict = "" if spared >= WORTH else ", so it does not pay in one run"
    return (f"feature store: {gigabytes:.2f} GB for {images:,} images; each is seen {seen:.1f} times and its encoders "
            f"are {share:.0%} of the arithmetic: {spared:.0%} spared after filling{verdict}")


def _frozen_head(size: ModelSize) -> list[PartSize]:
    head = []
    for part in size.parts:
        if part.name == "llm" or part.trains or part.adapters:
            break
        if part.layers or part.parameters:
            head.append(part)
    return head
