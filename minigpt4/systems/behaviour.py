"""The one switch between "as the original" and "right": what it means to the code outside the systems, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What every system's behaviour says; the defaults are `standard`.

    Args:
        name: value of `model.behaviour`.
        opening: how images are opened (`records.images.ImageSpec`).
        train_crop: what `blip2_image_train` does: 'random_resized' or 'none'.
        bos_in_generation: the processors of `generate` see a leading BOS, as transformers 4 put it before embeddings.
        context_cut: positions of prompt and answer together beyond which the beginning is dropped, as the originals
            did; None = a prompt that is too long is refused.
        legacy_tokenizer: see `conversation.tokenizer.open_tokenizer`; None = as the tokenizer's folder says.
        decay_rule: 'by_name' (substrings of parameter names) or 'by_dimension'.
        consequences: one line for the report.
    """

    name: str = "standard"
    opening: Literal["original", "standard"] = "standard"
    train_crop: Literal["none", "random_resized"] = "none"
    bos_in_generation: bool = False
    context_cut: int | None = None
    legacy_tokenizer: bool | None = None
    decay_rule: Literal["by_name", "by_dimension"] = "by_dimension"
    consequences: str = ""
