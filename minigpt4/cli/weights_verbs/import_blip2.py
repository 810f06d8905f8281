"""`minigpt4 weights import-blip2`: transformers' Blip2 folder becomes a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli.weights_verbs._common import add_folder

HELP = "turn a folder of transformers' Blip2ForConditionalGeneration into a bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR",
                        help="folder with config.json, weights and tokenizer")
    add_folder(parser, "--target", "new folder: a bundle")
    parser.add_argument("--template", default="plain", metavar="NAME",
                        help="conversation template: plain (default), vicuna_v0, vicuna_v1, llama2, …")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.ecosystem.blip2_import import import_blip2

    print("\n".join(import_blip2(arguments.source, arguments.target, template=arguments.template)))
    return 0
