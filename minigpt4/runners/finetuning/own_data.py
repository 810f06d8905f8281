"""What a run must know of own data, and the files of lines where some are kept back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minigpt4.datasets.hold_out import Split, split_by_image
from minigpt4.datasets.own_texts import OwnTexts
from minigpt4.records.conversations import IMAGE_MARK
from minigpt4.records.knowledge import Knowledge, language_of

log = logging.getLogger(__name__)

HELD_OUT = "held_out"
"""name of the split that is kept back"""
QUESTIONS, LONGEST_EXAMPLE = 5, 80
"""questions, and characters of an answer, that tell what own data are about"""


@dataclass(frozen=True)
class OwnData:
    """What a run must know of its data.

    Args:
        images: folder of the images.
        texts: the JSONL that is trained on: the person's, or the lines of it that were not kept back.
        num_samples: its lines.
        longest_answer: tokens of the longest answer of all, without an end symbol.
        held_out: the JSONL of what is kept back; None = nothing is.
        num_held_out: its lines.
        example: one of the answers.
        questions: some of those that are asked; empty where the texts ask nothing.
    """

    images: Path
    texts: Path
    num_samples: int
    longest_answer: int
    held_out: Path | None = None
    num_held_out: int = 0
    example: str = ""
    questions: tuple[str, ...] = ()


def data_of_run(data: OwnTexts, split: Split | None, folder: Path, count_tokens: Callable[[str], int]) -> OwnData:
    """Own data as a run in `folder` uses them.

    Args:
        data: all that was read.
        split: what of it is kept back, in files of its own in the folder.
        folder: the run folder.
        count_tokens: length of a text for the model.
    """
    longest = max(map(count_tokens, data.answers()), default=0)
    example, questions = next(data.answers(), ""), questions_of(data)
    if split is None:
        return OwnData(data.images, data.texts, len(data.samples), longest, example=example, questions=questions)
    return OwnData(data.images, folder / "train.jsonl", len(split.train), longest, folder / f"{HELD_OUT}.jsonl",
                   len(split.held_out), example, questions)


def questions_of(data: OwnTexts) -> tuple[str, ...]:
    """The first different questions that the texts ask."""
    found: dict[str, None] = {}
    for sample in data.samples:
        asked = (turn.text.replace(IMAGE_MARK, "").strip() for turn in sample.conversation.turns if turn.role == "user")
        found |= dict.fromkeys(filter(None, asked))
        if len(found) >= QUESTIONS:
            break
    return tuple(found)[:QUESTIONS]


def knowledge_of(data: OwnData, before: Knowledge | None) -> Knowledge:
    """What a model knows after own data, for its users: an example of the data, and what it knew before."""
    example = f"{data.example[:LONGEST_EXAMPLE]}…" if len(data.example) > LONGEST_EXAMPLE else data.example
    own = {"en": f"Fine-tuned on {data.num_samples} texts about images, such as \"{example}\".",
           "zh": f"用 {data.num_samples} 条图像文本微调，例如“{example}”。"}
    known = {"en": "Before that: {}", "zh": "此前：{}"}
    summary = {code: text if before is None else f"{text} {known[code].format(before.sentence(code))}"
               for code, text in own.items()}
    questions: dict[str, list[str]] = {}
    for question in data.questions:
        questions.setdefault(language_of(question), []).append(question)
    return Knowledge(summary=summary, questions=questions)


def keep_back(data: OwnTexts, share: float | None, seed: int) -> Split | None:
    """The split that a person asked for, told in a line; None where nothing is kept back."""
    if share is None:
        log.info("%d samples train; nothing is kept back to be asked about (--hold-out 0.1)", len(data.samples))
        return None
    split = split_by_image(data, share, seed)
    log.info("%d samples train; %d samples about %d images are kept back and asked about at the end",
             len(split.train), len(split.held_out), split.held_out_images)
    return split
