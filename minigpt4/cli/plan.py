"""`minigpt4 plan`: will it fit, and how long will it take? Asked before anything is downloaded or loaded."""

from __future__ import annotations

import argparse
from typing import Any

from minigpt4.cli._config_arguments import add_config_arguments
from minigpt4.common.errors import UserError

HELP = "Estimate what a config needs before it runs: parameters, memory, time, and what fits on which card."
EXAMPLES = (
    "minigpt4 plan --cfg-path train_configs/minigpt4_photos_stage1.yaml",
    "minigpt4 plan --cfg-path train_configs/minigpt4_stage2_finetune.yaml --llm vicuna-7b",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--llm", metavar="NAME", help="plan for a language model that is not here yet: vicuna-7b, "
                        "vicuna-13b, llama-2-7b-chat, llama-2-13b-chat")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.common.config import load_fragment
    from minigpt4.runners.planning.report import plan_lines

    config: Any = load_fragment(arguments.cfg_path, arguments.options)
    if config.model is None:
        raise UserError("config.missing", where=str(arguments.cfg_path), what="has no section 'model'",
                        fix="give a run YAML; minigpt4 configs list names the packaged ones")
    print("\n".join(plan_lines(config, llm=arguments.llm, folder=arguments.cfg_path.parent)))
    return 0
