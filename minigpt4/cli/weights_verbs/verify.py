"""`minigpt4 weights verify`: is it whole?"""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt4.cli._source import add_source_arguments
from minigpt4.cli.weights_verbs._common import ANY_WEIGHTS, byte_progress, weights_of
from minigpt4.common.errors import UserError

HELP = "check checksums, names, shapes and every value of a file or folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, also=ANY_WEIGHTS)
    parser.add_argument("--write-sums", action="store_true",
                        help="write sizes and checksums of a bundle as it is now, if all else about it is right")


def run(arguments: argparse.Namespace) -> int:
    for path, headline in weights_of(arguments):
        for line in headline:
            print(line)
        if arguments.write_sums:
            _write_sums(path)
        _verify(path, allow_imports=arguments.allow_imports)
    return 0


def _verify(path: Path, *, allow_imports: bool) -> None:
    """Print each check that is passed; the first that is not ends it."""
    from minigpt4.assembly.bundle_verification import verify_surroundings
    from minigpt4.weights.bundles.bundle import open_bundle
    from minigpt4.weights.bundles.places import bundle_in
    from minigpt4.weights.inspection import verify_weights

    with byte_progress("checking", None) as on_bytes:
        print("\n".join(verify_weights(path, on_bytes)))
        bundle = bundle_in(path)
        if bundle is not None:
            print("\n".join(verify_surroundings(open_bundle(bundle), allow_imports=allow_imports)))


def _write_sums(path: Path) -> None:
    from minigpt4.weights.bundles.places import bundle_in
    from minigpt4.weights.bundles.seal import seal

    bundle = bundle_in(path)
    if bundle is None:
        raise UserError("weights.sums", where=str(path), what="is not a bundle, and --write-sums is for bundles",
                        fix=f"in any other folder: sha256sum * > {path / 'SHA256SUMS'}")
    with byte_progress("reading", None) as on_bytes:
        print(f"checksums of {seal(bundle, on_bytes)} files written")
