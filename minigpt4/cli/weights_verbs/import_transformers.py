"""`minigpt4 weights import-transformers`: one of our models, saved by transformers, becomes a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli.weights_verbs._common import add_folder

HELP = "turn what transformers saved of one of our models (save_pretrained, a trainer) into a bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR",
                        help="folder with config.json, weights, processor and tokenizer")
    add_folder(parser, "--target", "new folder: a bundle")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.ecosystem.reading import import_transformers

    print("\n".join(import_transformers(arguments.source, arguments.target)))
    return 0
