"""`minigpt4 weights export`: a model for other code."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli._source import add_imports_argument, find_source, not_a_source
from minigpt4.cli.weights_verbs._common import add_folder, add_options

HELP = "export for other code: the original's .pth, a Blip2 folder, or a folder for transformers' Auto classes"
FORMS = ("original", "blip2", "transformers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", required=True, metavar="PATH", help="run folder, bundle or YAML")
    add_folder(parser, "--target", "new file (original) or folder")
    parser.add_argument("--form", choices=FORMS, default="original",
                        help="original = trained parts as the original's runner saved them; "
                             "blip2 = the whole model as transformers' Blip2ForConditionalGeneration; "
                             "transformers = any whole model, for from_pretrained after 'import minigpt4.ecosystem'")
    parser.add_argument("--check", action="store_true",
                        help="load what was written and compare its logits before it gets its name")
    add_options(parser)
    add_imports_argument(parser)
    parser.set_defaults(device="cpu")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.ecosystem.checking import check_of
    from minigpt4.ecosystem.exporting import export_blip2, export_original
    from minigpt4.ecosystem.writing import export_transformers

    source = find_source(Path(arguments.source))
    if source is None:
        raise not_a_source(Path(arguments.source))
    loaded = source.load_or_describe(arguments)
    write = {"original": export_original, "blip2": export_blip2, "transformers": export_transformers}[arguments.form]
    print("\n".join(write(loaded, arguments.target, check_of(arguments.form, loaded) if arguments.check else None)))
    return 0
