"""`minigpt4 apply-delta`: the short name of `minigpt4 weights apply-delta`."""

from __future__ import annotations

from minigpt4.cli.weights_verbs.apply_delta import add_arguments, run

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "Make Vicuna from LLaMA and a delta (v0, v1.1)."
EXAMPLES = (
    "minigpt4 apply-delta --base llama-7b --delta vicuna-7b-delta-v0 --target vicuna-7b-v0",
    "minigpt4 apply-delta --base llama-13b --delta vicuna-13b-delta-v1.1 --target vicuna-13b-v1.1",
)
