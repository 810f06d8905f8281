"""`minigpt4 chat`: chat about images in the terminal: one question or a whole conversation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.cli._decoding_arguments import add_decoding_arguments, add_model_arguments, settings_of
from minigpt4.cli._source import source_of
from minigpt4.processors.image_files import image_file

if TYPE_CHECKING:
    from minigpt4.inference.chat import Chat
    from minigpt4.inference.events import Event
    from minigpt4.records.knowledge import Knowledge

HELP = "Chat about images in the terminal: one question, or a conversation."
EXAMPLES = (
    "minigpt4 chat output/minigpt4_scenes_stage2 --image output/scenes/seen/images/000000.png "
    '--question "What colour are the stars?"',
    "minigpt4 chat output/minigpt4_scenes_stage2 --image output/scenes/seen/images/000001.png",
)
EXAMPLE_QUESTIONS = 4
"""of those a model was trained on, shown at the start"""
HOW_TO = "write a question; /image PATH shows an image, /clear starts over, /quit ends"
DEFAULT = "an empty line asks: {question}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--image", action="append", default=[], metavar="PATH",
                        help="an image, shown before the first question; may be given several times")
    parser.add_argument("--question", metavar="TEXT", help="one question; without it a conversation starts")
    parser.add_argument("--system", metavar="TEXT", help="text instead of the template's own system text")
    add_decoding_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    source = source_of(arguments)
    settings = settings_of(arguments)
    for image in arguments.image:
        image_file(Path(image))  # one that is not there is told before seconds of imports
    from minigpt4.inference.chat import Chat

    loaded = source.load(arguments)
    if loaded.knowledge is not None:
        print(_introduction(loaded.knowledge), file=sys.stderr)
    chat = Chat(loaded, settings, system=arguments.system)
    if arguments.question is not None:
        show(chat.ask(arguments.question, arguments.image))
        return 0
    converse(chat, list(arguments.image), loaded.default_question or "")
    return 0


def _introduction(knowledge: Knowledge) -> str:
    """What the model knows, and what it can be asked."""
    examples = " · ".join(knowledge.questions_in()[:EXAMPLE_QUESTIONS])
    return "\n".join(filter(None, [knowledge.sentence(), f"Ask for example: {examples}" if examples else ""]))


def show(events: Iterable[Event]) -> None:
    """Print an answer as it comes; notices go to the error stream."""
    from minigpt4.inference.events import Done, Notice, TextDelta

    for event in events:
        if isinstance(event, TextDelta):
            print(event.text, end="", flush=True)
        elif isinstance(event, Notice):
            print(event.text, file=sys.stderr)
        elif isinstance(event, Done):
            print(" […]" if event.reason == "length" else "", flush=True)


def converse(chat: Chat, images: list[str], default: str = "") -> None:
    """Read questions until /quit or the end of the input; a mistake is reported and the conversation continues.

    Args:
        images: shown before the first question.
        default: asked by an empty line.
    """
    from minigpt4.common.errors import UserError

    print("; ".join([HOW_TO, *([DEFAULT.format(question=default)] if default else [])]), file=sys.stderr)
    while (line := _read_line()) is not None:
        word, _, rest = line.strip().partition(" ")
        if word == "/quit":
            return
        if word == "/clear":
            chat.clear()
            images.clear()
        elif word == "/image":
            images.append(rest.strip())
        else:
            try:
                show(chat.ask(line if line.strip() else default, images))
                images.clear()
            except UserError as error:
                print(error, file=sys.stderr)


def _read_line() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None
