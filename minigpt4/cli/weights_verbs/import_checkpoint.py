"""`minigpt4 weights import-checkpoint`: a published `.pth` becomes a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli.weights_verbs._common import add_folder, add_options

HELP = "turn a published checkpoint (.pth) into a bundle that knows what it belongs to"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ckpt", type=Path, required=True, metavar="FILE",
                        help="pretrained_minigpt4.pth, or a checkpoint of the original runner")
    parser.add_argument("--cfg-path", type=Path, required=True, metavar="YAML",
                        help="the model it was trained with: a YAML of eval_configs/ with your paths")
    add_folder(parser, "--target", "new folder")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.assembly.importing import import_checkpoint
    from minigpt4.common.config import load_config

    options = [*arguments.options, f"model.ckpt={arguments.ckpt.absolute()}"]
    config = load_config(arguments.cfg_path, options, sections=("model",))
    print("\n".join(import_checkpoint(config, arguments.target)))
    return 0
