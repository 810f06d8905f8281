"""`minigpt4 weights merge`: adapters become part of the weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.cli._source import add_imports_argument
from minigpt4.cli.weights_verbs._common import add_folder, add_options

if TYPE_CHECKING:
    from minigpt4.assembly.loaded import LoadedModel

HELP = "merge LoRA adapters into a bundle without adapters, with equal logits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="run", type=Path, required=True, metavar="DIR", help="run folder or bundle")
    add_folder(parser, "--target", "new folder")
    parser.add_argument("--fp32", action="store_true",
                        help="store the sums in fp32, also where the weights below were in half precision")
    add_options(parser)
    add_imports_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.assembly.merging import merge_bundle
    from minigpt4.inference.load import load_model

    def load(place: Path, options: Sequence[str]) -> LoadedModel:
        return load_model(place, device="cpu", options=options, allow_imports=arguments.allow_imports)

    lines = merge_bundle(arguments.run, arguments.target, load, arguments.options, in_fp32=arguments.fp32)
    print("\n".join(lines))
    return 0
