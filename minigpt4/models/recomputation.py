"""Activations computed again in the backward pass instead of being kept: transformers' switch, under both its names."""

from __future__ import annotations

from typing import Any


def enable_recomputation(model: Any) -> None:
    """Switch it on for a transformers model; its layers then do so while they are in training mode."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since 5.2x, and the one before
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
