"""`minigpt4 weights verify`: is it whole?"""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli.weights_verbs._common import byte_progress

HELP = "checksums, names, shapes and every value of a file or folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, help="a file, a folder, a bundle or a run folder")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.assembly.bundle_verification import verify_surroundings
    from minigpt4.weights.bundles.bundle import bundle_in, open_bundle
    from minigpt4.weights.inspection import verify_weights

    with byte_progress("checking", None) as on_bytes:
        lines = verify_weights(arguments.path, on_bytes)
        if bundle := bundle_in(arguments.path):
            lines += verify_surroundings(open_bundle(bundle))
    print("\n".join(lines))
    return 0
