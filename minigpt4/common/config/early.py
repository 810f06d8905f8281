"""Weights that a YAML names and that are not there, told before the classes of its sections are imported.

Those import torch and transformers, which takes seconds. Placeholders and everything else wrong with a YAML are told
by `load_config`, with all mistakes together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minigpt4.common.config.fields import fields_of
from minigpt4.common.config.layers import KeyPath, interpolated, merge, read_options, read_yaml
from minigpt4.common.config.path_values import checked_path
from minigpt4.common.config.paths import is_placeholder
from minigpt4.common.config.report import Report, Spot

SECTION = "model"


@dataclass(frozen=True)
class _Named:
    """What a key of weights holds."""

    weights: str | None = field(default=None, metadata={"path": "any"})
    """weights: a file or folder, or what training wrote"""
    llm: str | None = field(default=None, metadata={"path": "any", "hub": True})
    """weights of a language model: a folder"""


def refuse_absent_weights(path: Path, options: Sequence[str] = ()) -> None:
    """Raise `UserErrors` for a `model.ckpt` or `model.*.weights` that is not there.

    Args:
        path: a YAML that the user named himself.
        options: `a.b=c` changes.

    Raises:
        UserError: the YAML cannot be read.
    """
    layer = interpolated(merge([read_yaml(path), read_options(options)]))
    report, infos = Report(layer), fields_of(_Named)
    for key, value in _weights(layer.values.get(SECTION)):
        if not is_placeholder(value):
            info = infos["llm" if "llm" in key else "weights"]
            checked_path(value, info, Spot(report, key, info))
    report.raise_if_any()


def _weights(section: object) -> Iterator[tuple[KeyPath, str]]:
    """Keys of weights with what they name."""
    if not isinstance(section, Mapping):
        return
    named: dict[KeyPath, object] = {(SECTION, "ckpt"): section.get("ckpt")}
    named |= {(SECTION, str(part), "weights"): values.get("weights") for part, values in section.items()
              if isinstance(values, Mapping)}
    yield from ((key, value) for key, value in named.items() if isinstance(value, str))
