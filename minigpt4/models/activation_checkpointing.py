"""Activation checkpointing: activations are recomputed in the backward pass instead of being kept."""

from __future__ import annotations

from transformers import PreTrainedModel


def enable_activation_checkpointing(model: PreTrainedModel) -> None:
    """Enable it for a transformers model; its layers then recompute while they are in training mode."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since 5.2x, and the one before
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
