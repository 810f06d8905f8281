"""The flags that choose how answers are made; the same in every command that gives answers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from minigpt4.cli._source import add_source_arguments, add_verify_argument
from minigpt4.common.config.ranges import Beams, PositiveFloat, PositiveInt, PositiveShare, Seed, number

if TYPE_CHECKING:
    from minigpt4.generation.settings import DecodingSettings


def add_model_arguments(parser: argparse.ArgumentParser, *, positional: bool = True) -> None:
    """Which model, where. `positional`: the command has no other positional argument, so the model may be one."""
    add_source_arguments(parser, positional=positional)
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the config, e.g. model.llm.dtype=fp32")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: as the config says)")
    add_other_llm_argument(parser)
    add_verify_argument(parser)


def add_other_llm_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-other-llm", action="store_true",
                        help="continue where a bundle was trained with another language model (stage 1 must be trained "
                             "again before it says anything)")


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    """How tokens are chosen."""
    parser.add_argument("--max-new-tokens", type=number(PositiveInt), default=300, metavar="N",
                        help="longest answer in tokens (default: 300)")
    parser.add_argument("--num-beams", type=number(Beams), default=1, metavar="N",
                        help="beam search over N beams (default: 1, none)")
    parser.add_argument("--sample", action="store_true",
                        help="sample each token instead of taking the most likely one")
    parser.add_argument("--temperature", type=number(PositiveFloat), default=1.0, metavar="X",
                        help="with --sample: below 1 favours likely tokens, above 1 evens them out (default: 1)")
    parser.add_argument("--top-p", type=number(PositiveShare), default=0.9, metavar="X",
                        help="with --sample: only from the most likely tokens that together have this probability "
                             "(default: 0.9)")
    parser.add_argument("--seed", type=number(Seed), metavar="N",
                        help="with --sample: the same seed gives the same answer")


def settings_of(arguments: argparse.Namespace) -> DecodingSettings:
    from minigpt4.generation.settings import DecodingSettings

    return DecodingSettings(
        max_new_tokens=arguments.max_new_tokens, num_beams=arguments.num_beams, do_sample=arguments.sample,
        temperature=arguments.temperature, top_p=arguments.top_p, seed=arguments.seed,
    )
