"""`minigpt4 weights info`: what is it?"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "what a file or folder of weights is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="a file, a folder, a bundle or a run folder")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.inspection import describe_weights

    print("\n".join(describe_weights(arguments.path)))
    return 0
