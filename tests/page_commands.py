"""The commands that a page prints, in their order, and what is said of them behind `#`.

Blocks of bash and Python are commands; blocks of other shells (PowerShell, zsh) are for machines that are not here.
What needs the network or a GPU says so behind `#`, in the page itself, and is the only exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PAGES = ("README.md", "README_zh.md", "docs/tutorial.md", "docs/tutorial_zh.md", "docs/from_minigpt4.md",
         "docs/from_minigpt4_zh.md")
"""pages whose commands run after `make demo`, in the order printed; English and Chinese in turn"""
OWN_DATA = "docs/own_data.md"
"""another one, in English only"""
NEEDS: dict[Literal["network", "gpu"], tuple[str, ...]] = {
    "network": ("needs the network", "需要网络"), "gpu": ("needs a GPU", "需要 GPU"),
}
BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
COMMENT = re.compile(r"\s{2,}#\s*(.*)$")


@dataclass(frozen=True)
class Command:
    """A line of bash, or a whole block of Python.

    Args:
        text: what is typed, without its comment.
        note: the comment.
        language: bash or python.
    """

    text: str
    note: str = ""
    language: str = "bash"

    def needs(self, what: Literal["network", "gpu"]) -> bool:
        """The page says that it does."""
        return any(words in self.note for words in NEEDS[what])


def commands_of(page: Path) -> list[Command]:
    """All commands of a page in the order printed."""
    found: list[Command] = []
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            found.append(Command(block, language="python"))
            continue
        for line in block.splitlines():
            note = COMMENT.search(line)
            text = line[: note.start()] if note else line
            if text.strip() and not text.startswith("#"):
                found.append(Command(text.strip(), note[1] if note else ""))
    return found
