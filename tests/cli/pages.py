"""Pages and examples run as printed: blocks of a page, commands in this process, a tiny bundle where they want one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from minigpt4.cli.main import main
from tests import tiny


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def run_command(line: str) -> int:
    """`minigpt4 …` in this process -> its exit status."""
    program, *words = shlex.split(line)
    assert program == "minigpt4", f"how is '{line}' run?"
    return main(words)


def write_bundle(folder: Path, *, template: str) -> None:
    """A tiny model's bundle where a page or an example expects one."""
    folder.mkdir(parents=True)
    loaded = tiny.model(template=template)
    config = tiny.as_yaml(loaded.config) + "run: {init_lr: 0.01}\n"
    loaded.save_bundle(folder, resolved_config=config, stage="tiny", step=1)


def write_images(folder: Path, *names: str) -> None:
    """Images of noise under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tiny.image(number).save(folder / name)
