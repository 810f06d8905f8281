"""`minigpt4 weights verify`: is it whole?"""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli._source import add_source_arguments
from minigpt4.cli.weights_verbs._common import ANY_WEIGHTS, byte_progress, weights_of

HELP = "check checksums, names, shapes and every value of a file or folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, also=ANY_WEIGHTS)


def run(arguments: argparse.Namespace) -> int:
    for path, headline in weights_of(arguments):
        print("\n".join([*headline, *_verified(path)]))
    return 0


def _verified(path: Path) -> list[str]:
    from minigpt4.assembly.bundle_verification import verify_surroundings
    from minigpt4.weights.bundles.bundle import bundle_in, open_bundle
    from minigpt4.weights.inspection import verify_weights

    with byte_progress("checking", None) as on_bytes:
        lines = verify_weights(path, on_bytes)
        bundle = bundle_in(path)
        return lines if bundle is None else lines + verify_surroundings(open_bundle(bundle))
