"""`minigpt4 cache`: what frozen encoders say of every training image, computed once and kept on disk."""

from __future__ import annotations

import argparse
import os

from minigpt4.cli._config_arguments import add_config_arguments
from minigpt4.common.config import load_config
from minigpt4.common.config.early import refuse_absent_weights
from minigpt4.common.errors import UserError

HELP = "Fill a feature store, so that training reads what frozen encoders say of an image instead of the image."
EXAMPLES = (
    "minigpt4 cache --cfg-path train_configs/minigpt4_scenes_stage2.yaml --options run.feature_store=output/features",
    "minigpt4 cache --cfg-path train_configs/minigpt4_scenes_stage2.yaml --part 2/4 "
    "--options run.feature_store=output/features",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--part", metavar="I/N", help="only every N-th sample, from the I-th on; torchrun sets it by "
                        "itself")


def run(arguments: argparse.Namespace) -> int:
    refuse_absent_weights(arguments.cfg_path, arguments.options)
    config = load_config(arguments.cfg_path, arguments.options)
    from minigpt4.common.process_group import Place, place_from
    from minigpt4.runners.caching import fill_store, filled_lines

    part = _part(arguments.part)
    place = place_from(os.environ) if part is None else Place(part[0] - 1, part[1])
    print("\n".join(filled_lines(fill_store(config, place))))
    return 0


def _part(text: str | None) -> tuple[int, int] | None:
    """'2/4' -> (2, 4). Raises `UserError` for anything else."""
    if text is None:
        return None
    first, slash, last = text.partition("/")
    if slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise UserError("cli.usage", where="--part", what=f"is '{text}'", fix="write I/N, e.g. 2/4")
