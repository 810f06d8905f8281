"""Fixed questions about fixed images, answered as training goes on: so that people see a model learn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.common.texts import read_text
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.runners.config import WatchConfig


@dataclass(frozen=True)
class WatchedQuestion:
    """A question about an image, and what is right."""

    image: str
    question: str
    wanted: str


@dataclass(frozen=True)
class WatchedAnswer:
    """What the model of the moment says."""

    image: str
    question: str
    wanted: str
    said: str

    def __str__(self) -> str:
        mark = "right" if self.said == self.wanted else f"wanted: {self.wanted}"
        return f"{Path(self.image).name}: {self.question or '(shown)'} {self.said} ({mark})"


class Watch:
    """Asks a loaded model the questions of a file.

    Args:
        loaded: the model that trains; asked with its weights of the moment, greedily.
        config: which file, how often.

    Raises:
        UserError: the file, or an image that it names, is not as it should be.
    """

    def __init__(self, loaded: LoadedModel, config: WatchConfig) -> None:
        self.every = config.every
        self._loaded = loaded.in_template(config.template) if config.template else loaded
        self._settings = DecodingSettings(max_new_tokens=config.max_new_tokens)
        self._questions = read_questions(Path(config.file))

    def answers(self) -> list[WatchedAnswer]:
        """The answers of the moment; an image is looked at anew each time."""
        return [
            WatchedAnswer(asked.image, asked.question, asked.wanted,
                          Chat(self._loaded, self._settings).answer(asked.question, [asked.image]).strip())
            for asked in self._questions
        ]


def read_questions(file: Path) -> list[WatchedQuestion]:
    """The questions of a JSONL file. Raises `UserError` naming the line that is wrong."""
    lines = enumerate(read_text(file, "watch.file").splitlines(), start=1)
    return [_question(line, file, f"{shown(file)}:{number}") for number, line in lines if line.strip()]


def _question(line: str, file: Path, where: str) -> WatchedQuestion:
    try:
        record = json.loads(line)
        image, question, wanted = (record[key] for key in ("image", "question", "answer"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("watch.line", where=where, what=f"is no question ({type(error).__name__}: {error})",
                        fix='write {"image": "a.png", "question": "What is this?", "answer": "A cat."}') from error
    path = file.parent / str(image)
    if not path.is_file():
        raise UserError("watch.image", where=where, what=f"image '{shown(path)}' is not there",
                        fix="images are relative to the file that names them")
    return WatchedQuestion(str(path), str(question), str(wanted))
