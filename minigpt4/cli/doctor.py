"""`minigpt4 doctor`: what this machine has, what is missing, what to do."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Check this machine (device, libraries, extras, weights) and say what is missing and what to do."
EXAMPLES = (
    "minigpt4 doctor",
    "minigpt4 doctor --cfg-path train_configs/minigpt4_scenes_stage2.yaml",
)

CHECKS_VERSIONS = False
"""it reports wrong versions itself, together with everything else"""
MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg-path", type=Path, nargs="+", default=[], metavar="YAML",
                        help="also check every file these configs name")
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the configs")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.cli._examination import examine

    bad = 0
    for finding in examine(arguments.cfg_path, arguments.options):
        fix = f"; {finding.fix}" if finding.fix else ""
        print(f"{MARKS[finding.state]}  {finding.topic:<18}{finding.what}{fix}", flush=True)
        bad += finding.state == "bad"
    print("nothing is missing" if not bad else f"{bad} to fix")
    return 1 if bad else 0
