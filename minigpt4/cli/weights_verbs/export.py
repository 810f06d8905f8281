"""`minigpt4 weights export`: a model for other code."""

from __future__ import annotations

import argparse

from minigpt4.cli.weights_verbs._common import add_folder, add_options

HELP = "a model for other code: the original's .pth, or a Blip2 folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", required=True, metavar="PATH", help="run folder, bundle or YAML")
    add_folder(parser, "--target", "new file (original) or folder (blip2)")
    parser.add_argument("--form", choices=("original", "blip2"), default="original",
                        help="original = trained parts as the original's runner saved them; "
                             "blip2 = the whole model as transformers' Blip2ForConditionalGeneration")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.inference.load import load_model
    from minigpt4.recipes.export import export_blip2, export_original

    loaded = load_model(arguments.source, device="cpu", options=arguments.options)
    write = export_original if arguments.form == "original" else export_blip2
    print("\n".join(write(loaded, arguments.target)))
    return 0
