"""`minigpt4 weights apply-delta` (and `minigpt4 apply-delta`); FastChat's spellings are understood too."""

from __future__ import annotations

import argparse

from minigpt4.cli.weights_verbs._common import add_folder, add_shard_size, write_folder

HELP = "make Vicuna (v0, v1.1) from LLaMA and a delta"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser, "--base", "folder of LLaMA (Hugging Face layout)", "--base-model-path")
    add_folder(parser, "--delta", "folder of the delta", "--delta-path")
    add_folder(parser, "--target", "new folder for Vicuna", "--target-model-path")
    parser.add_argument("--allow-other-base", action="store_true",
                        help="continue where the delta was not made from this base")
    parser.add_argument("--low-cpu-mem", action="store_true", help="FastChat's flag; memory is always low here")
    add_shard_size(parser)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.llama.deltas import apply_delta

    work = apply_delta(arguments.base, arguments.delta, allow_other_base=arguments.allow_other_base)
    return write_folder(work, arguments.target, arguments.shard_gb)
