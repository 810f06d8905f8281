"""`minigpt4 weights parts`: cut trained parts out of runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli.weights_verbs._common import add_folder

HELP = "extract the parts that a run trained, as small files for other models"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="runs", type=Path, nargs="+", required=True, metavar="DIR",
                        help="run folders or bundles; the last wins where several trained a part")
    add_folder(parser, "--target", "new folder")
    parser.add_argument("--dtype", choices=("fp16", "bf16", "fp32"), default="fp16", help="of the numbers written")
    parser.add_argument("--forget-invented-words", action="store_true",
                        help="take the invented words out of a language model that was trained on scenes in words")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.bundles.bundle import open_bundle
    from minigpt4.weights.bundles.parts import write_parts
    from minigpt4.weights.bundles.places import newest_bundle

    bundles = [open_bundle(newest_bundle(run)) for run in arguments.runs]
    print("\n".join(write_parts(bundles, arguments.target, dtype=arguments.dtype)))
    if arguments.forget_invented_words:
        from minigpt4.scenes.words.forgetting import forget, invented_words

        print(f"forgot {forget(arguments.target, invented_words())} pieces of invented words")
    return 0
