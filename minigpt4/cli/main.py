"""Entry point of the command line: finds the command's file, runs it, reports a user error in one sentence.

A command is a file of this folder with `HELP` (one sentence), `EXAMPLES` (two commands that run as printed),
`add_arguments(parser)` and `run(arguments) -> exit status`. Files that begin with `_` are not commands. A command's
file is imported only when it is called, and imports what is heavy inside `run`: every `--help` is instant.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from minigpt4 import __version__
from minigpt4.common.errors import UserError, nearest, printable
from minigpt4.common.versions import check_versions

FOLDER = Path(__file__).parent
USER_MISTAKE = 2
INTERRUPTED = 130
NO_LISTENER = 141


def main(words: Sequence[str] | None = None) -> int:
    """Run `minigpt4 WORDS…`; returns the exit status. The only place where a `UserError` ends."""
    words = list(sys.argv[1:] if words is None else words)
    _log_to_terminal()
    try:
        return _run(words)
    except UserError as error:
        print(printable(str(error)), file=sys.stderr)
        return USER_MISTAKE
    except BrokenPipeError:  # `minigpt4 … | head`: the reader is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_LISTENER
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _log_to_terminal() -> None:
    """The first process logs what it does; the others, and other libraries, log warnings only."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_escape)
    first = os.environ.get("RANK", "0") == "0"
    logging.getLogger("minigpt4").setLevel(logging.INFO if first else logging.WARNING)


def _escape(record: logging.LogRecord) -> bool:
    """Control characters in names and texts of others are shown, not obeyed."""
    record.msg, record.args = printable(record.getMessage()), None
    return True


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"minigpt4 {__version__}")
        return 0
    command = _command(words[0])
    arguments = parser_of(words[0], command).parse_args(words[1:])
    if getattr(command, "CHECKS_VERSIONS", True):
        check_versions()
    return int(command.run(arguments))


def commands() -> list[str]:
    """The names of all commands, by their files."""
    names = (file.stem for file in FOLDER.glob("*.py") if file.stem != "main" and not file.stem.startswith("_"))
    return sorted(name.replace("_", "-") for name in names)


def _command(name: str) -> ModuleType:
    if name not in commands():
        raise UserError("cli.unknown", where="minigpt4", what=f"unknown command '{name}'",
                        fix=nearest(name, commands()))
    return importlib.import_module(f"minigpt4.cli.{_module(name)}")


def _module(name: str) -> str:
    return name.replace("-", "_")


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one sentence, as all others are."""

    def error(self, message: str) -> NoReturn:
        raise UserError("cli.usage", where=self.prog, what=message, fix=f"{self.prog} --help lists all flags")


def parser_of(name: str, command: ModuleType) -> argparse.ArgumentParser:
    """The parser of a command; its help ends with the command's examples."""
    parser = _Parser(
        prog=f"minigpt4 {name}", description=command.HELP, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n" + "\n".join(f"  {example}" for example in command.EXAMPLES),
    )
    command.add_arguments(parser)
    return parser


def _overview() -> str:
    lines = ["usage: minigpt4 COMMAND …", "", "Images become tokens of a conversation.", "", "commands:"]
    lines += [f"  {name:<10} {_help_of(name)}" for name in commands()]
    lines += ["", "examples:", "  minigpt4 train --help", "  minigpt4 configs list"]
    return "\n".join(lines)


def _help_of(name: str) -> str:
    """The command's HELP, read without importing it."""
    for node in ast.parse((FOLDER / f"{_module(name)}.py").read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if "HELP" in names and isinstance(value := getattr(node, "value", None), ast.Constant):
            return str(value.value)
    return ""


if __name__ == "__main__":
    sys.exit(main())
