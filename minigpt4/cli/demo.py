"""`minigpt4 demo`: the page. It is not built yet and says so."""

from __future__ import annotations

import argparse

from minigpt4.cli._config_arguments import add_config_arguments
from minigpt4.common.errors import UserError

HELP = "Chat about images in a page of the browser (not in this version; `chat` does it in the terminal)."
EXAMPLES = (
    "minigpt4 demo --cfg-path eval_configs/minigpt4_eval.yaml",
    "minigpt4 demo --cfg-path eval_configs/minigpt4_llama2_eval.yaml --gpu-id 0",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--gpu-id", type=int, default=0, metavar="N", help="number of the CUDA device")


def run(arguments: argparse.Namespace) -> int:
    raise UserError("demo.absent", where="minigpt4 demo", what="there is no page in this version",
                    fix=f"chat in the terminal: minigpt4 chat --cfg-path {arguments.cfg_path} --image IMAGE")
