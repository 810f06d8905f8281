"""`minigpt4 show`: the chain of a model with shapes, dtype, frozen parts, parameters and tokens per image."""

from __future__ import annotations

import argparse

from minigpt4.cli._source import add_source_arguments, source_of

HELP = "Show what a model consists of: shapes, dtype, what is frozen, parameters, tokens per image."
EXAMPLES = (
    "minigpt4 show output/minigpt4_scenes_stage2",
    "minigpt4 show train_configs/minigpt4_scenes_stage1.yaml",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the config")
    parser.add_argument("--device", default="cpu", help="where it is loaded (default: cpu)")


def run(arguments: argparse.Namespace) -> int:
    loaded = source_of(arguments).load_or_describe(arguments)
    print("\n".join([loaded.describe(), "", *loaded.load_report]))
    return 0
