"""What a bundle's manifest says of the whole model: recipe, words around turns, pixels, tokenizer, versions, data."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import minigpt4
from minigpt4.weights.bundles.bundle import Bundle
from minigpt4.weights.bundles.licences import DataLicence
from minigpt4.weights.bundles.tokenizer_fingerprint import fingerprint_of_tokenizer

if TYPE_CHECKING:
    from minigpt4.assembly.loaded import LoadedModel

NOTED_PACKAGES = ("torch", "transformers", "tokenizers")
"""packages whose version can change numbers"""


def describe_model(loaded: LoadedModel, data: Sequence[DataLicence]) -> dict[str, Any]:
    """Everything but the parts.

    Args:
        loaded: the model.
        data: data sets it was trained on, those of earlier stages first.
    """
    renderer, config = loaded.renderer, loaded.config
    return {
        "recipe": {"arch": config.arch, "model_type": getattr(config, "model_type", "")},
        "behaviour": loaded.behaviour.name,
        "template": renderer.training.name,
        "chat_template": renderer.chat.name,
        "stops": list(renderer.stops),
        "image": None if loaded.image_spec is None else asdict(loaded.image_spec),
        "tokens_per_image": renderer.tokens_per_image,
        "vocab_size": loaded.vocab_size,
        "tokenizer": fingerprint_of_tokenizer(loaded.tokenizer_folder).as_stored(),
        "versions": versions(),
        "data": [asdict(entry) for entry in dict.fromkeys(data)],
        "knows": None if loaded.knowledge is None else asdict(loaded.knowledge),
    }


def versions() -> dict[str, str]:
    """Versions of this package, Python and the packages below it."""
    below = {name: importlib.metadata.version(name) for name in NOTED_PACKAGES}
    return {"minigpt4": minigpt4.__version__, "python": platform.python_version(), **below}


def data_of(bundle: Bundle | None) -> tuple[DataLicence, ...]:
    """The data sets that a bundle names; older ones name none."""
    entries = bundle.manifest.data if bundle else []
    return tuple(DataLicence(entry.name, entry.licence) for entry in entries)
