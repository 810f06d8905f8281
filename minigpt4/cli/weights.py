"""`minigpt4 weights`: from downloaded files to folders that work, and a look into both.

A verb is a file of `weights_verbs/`; files that begin with `_` are not verbs.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import ModuleType

HELP = "Download weights, make Vicuna from LLaMA and a delta, convert raw LLaMA, extract parts, check files."
EXAMPLES = (
    "minigpt4 weights download eva_vit_g blip2_pretrained_flant5xxl prerained_minigpt4_7b vicuna-7b-v0",
    "minigpt4 weights apply-delta --base llama-7b --delta vicuna-7b-delta-v0 --target vicuna-7b-v0",
)
FOLDER = Path(__file__).parent / "weights_verbs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in _verbs().items():
        module.add_arguments(verbs.add_parser(name, help=module.HELP))


def run(arguments: argparse.Namespace) -> int:
    return int(_verbs()[arguments.verb].run(arguments))


def _verbs() -> dict[str, ModuleType]:
    names = sorted(file.stem for file in FOLDER.glob("*.py") if not file.stem.startswith("_"))
    return {name.replace("_", "-"): importlib.import_module(f"minigpt4.cli.weights_verbs.{name}") for name in names}
