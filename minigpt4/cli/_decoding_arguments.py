"""The flags that choose how answers are made; the same in every command that gives answers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minigpt4.generation.settings import DecodingSettings


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, where."""
    parser.add_argument("--model", metavar="PATH", help="a bundle or run folder that training wrote, or a YAML")
    parser.add_argument("--cfg-path", metavar="YAML", help="the same for a YAML (the original's spelling)")
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="keys changed, e.g. model.llm.dtype=fp32")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: as the config says)")


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    """How tokens are chosen."""
    parser.add_argument("--max-new-tokens", type=int, default=300, help="tokens of an answer at most")
    parser.add_argument("--num-beams", type=int, default=1, help="beams of a beam search; 1 = none")
    parser.add_argument("--sample", action="store_true", help="draw tokens instead of taking the likeliest")
    parser.add_argument("--temperature", type=float, default=1.0, help="sharpness when drawing; below 1 = sharper")
    parser.add_argument("--top-p", type=float, default=0.9, help="share of the distribution that is drawn from")
    parser.add_argument("--seed", type=int, help="seed of drawing")


def settings_of(arguments: argparse.Namespace) -> DecodingSettings:
    from minigpt4.generation.settings import DecodingSettings

    return DecodingSettings(
        max_new_tokens=arguments.max_new_tokens, num_beams=arguments.num_beams, do_sample=arguments.sample,
        temperature=arguments.temperature, top_p=arguments.top_p, seed=arguments.seed,
    )


def model_source(arguments: argparse.Namespace) -> str:
    """The path given as --model or --cfg-path; exactly one."""
    from minigpt4.common.errors import UserError

    given = [path for path in (arguments.model, arguments.cfg_path) if path]
    if len(given) != 1:
        raise UserError("cli.model", where="minigpt4", what="give exactly one of --model and --cfg-path",
                        fix="--model takes what training wrote, --cfg-path a YAML")
    return str(given[0])
