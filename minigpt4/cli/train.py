"""`minigpt4 train`: train a config, on one process or under torchrun."""

from __future__ import annotations

import argparse
import os

from minigpt4.cli._config_arguments import add_config_arguments
from minigpt4.common.config import load_config
from minigpt4.common.config.early import refuse_absent_weights
from minigpt4.common.config.ranges import PositiveInt, number

HELP = "Train a model from a YAML; on several GPUs under torchrun."
EXAMPLES = (
    "minigpt4 train --cfg-path train_configs/minigpt4_scenes_stage2.yaml "
    "--options run.output_dir=output/again --dry-run",
    "torchrun --nproc-per-node 2 train.py --cfg-path train_configs/minigpt4_scenes_stage2.yaml "
    "--options run.output_dir=output/two_processes",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--resume", action="store_true",
                        help="continue from the newest complete checkpoint of run.output_dir")
    parser.add_argument("--resume-from", type=number(PositiveInt), metavar="STEP",
                        help="continue from the checkpoint after this step; later ones are moved into set_aside/")
    parser.add_argument("--dry-run", action="store_true",
                        help="check every key, path and data set and report what would be trained; load no weights")


def run(arguments: argparse.Namespace) -> int:
    refuse_absent_weights(arguments.cfg_path, arguments.options)
    config = load_config(arguments.cfg_path, arguments.options)
    if arguments.dry_run:
        from minigpt4.common.process_group import place_from
        from minigpt4.runners.start.dry_run import dry_run

        resume = arguments.resume or arguments.resume_from is not None
        print("\n".join(dry_run(config, place_from(os.environ), resume=resume)))
        return 0
    from minigpt4.runners.start.describing import describes_now
    from minigpt4.runners.start.setup import train

    train(config, resume=arguments.resume, resume_from=arguments.resume_from, make_describe=describes_now)
    return 0
