"""`minigpt4 weights make-delta`: the difference that others add to LLaMA."""

from __future__ import annotations

import argparse

from minigpt4.cli.weights_verbs._common import add_folder, add_shard_size, write_folder

HELP = "make a delta (model - LLaMA) that apply-delta accepts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser, "--base", "folder of LLaMA (Hugging Face layout)")
    add_folder(parser, "--model", "folder of the model to take a delta from", "--target-model-path")
    add_folder(parser, "--target", "new folder for the delta", "--delta", "--delta-path")
    add_shard_size(parser)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.llama.deltas import make_delta

    return write_folder(make_delta(arguments.base, arguments.model), arguments.target, arguments.shard_gb)
