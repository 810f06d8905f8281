"""`minigpt4 weights`: from downloaded files to folders that work, and a look into both.

A verb is a file of `weights_verbs/`; those that begin with `_` are none.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import ModuleType

HELP = "Make Vicuna from LLaMA and a delta, convert raw LLaMA, cut out parts, check files of weights."
EXAMPLES = (
    "minigpt4 weights apply-delta --base llama-7b --delta vicuna-7b-delta-v0 --target vicuna-7b-v0",
    "minigpt4 weights convert-llama --input-dir LLaMA/7B --output-dir llama-7b",
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
