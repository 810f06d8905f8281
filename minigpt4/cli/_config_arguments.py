"""The two arguments by which every command takes a config, spelled as in the original."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """`--cfg-path YAML` and `--options KEY=VALUE …`."""
    parser.add_argument("--cfg-path", type=Path, required=True, metavar="YAML",
                        help="the run YAML; `minigpt4 configs list` names the packaged ones")
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the YAML, e.g. run.init_lr=3e-5 (or in pairs: run.init_lr 3e-5)")
