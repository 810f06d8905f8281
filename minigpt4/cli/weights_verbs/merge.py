"""`minigpt4 weights merge`: adapters become part of the weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli.weights_verbs._common import add_folder, add_options

HELP = "merge LoRA adapters into a bundle without adapters, with equal logits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="run", type=Path, required=True, metavar="DIR", help="run folder or bundle")
    add_folder(parser, "--target", "new folder")
    parser.add_argument("--fp32", action="store_true",
                        help="store the sums in fp32, also where the weights below were in half precision")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.assembly.merging import merge_bundle
    from minigpt4.inference.load import load_model

    lines = merge_bundle(arguments.run, arguments.target,
                         lambda place, options: load_model(place, device="cpu", options=options), arguments.options,
                         in_fp32=arguments.fp32)
    print("\n".join(lines))
    return 0
