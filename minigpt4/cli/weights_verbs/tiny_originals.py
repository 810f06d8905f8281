"""`minigpt4 weights tiny-originals`: random small parts, to try the real model's commands without its gigabytes."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.common.config.ranges import NonNegativeInt, number

HELP = "write random parts of a few MB in the originals' layouts, to try commands with; what they answer means nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="new folder; named and filled as by weights download")
    parser.add_argument("--seed", type=number(NonNegativeInt), default=0, metavar="N", help="of the random numbers")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.tiny_originals import MODEL_YAML, write_tiny_originals

    print("\n".join(write_tiny_originals(arguments.folder, seed=arguments.seed)))
    print(f"use them: minigpt4 chat --cfg-path {arguments.folder / MODEL_YAML} --image FILE")
    return 0
