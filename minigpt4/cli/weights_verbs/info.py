"""`minigpt4 weights info`: what is it?"""

from __future__ import annotations

import argparse

from minigpt4.cli._source import add_source_arguments
from minigpt4.cli.weights_verbs._common import ANY_WEIGHTS, weights_of

HELP = "describe a file or folder of weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, also=ANY_WEIGHTS)


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.inspection import describe_weights

    for path, headline in weights_of(arguments):
        print("\n".join([*headline, *describe_weights(path)]))
    return 0
