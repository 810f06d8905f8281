"""A folder of images and a JSONL of texts, read through once before a run is made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError, UserErrors
from minigpt4.common.files import is_regular, shown
from minigpt4.datasets.dataset import RecordDataset
from minigpt4.datasets.formats.lines import JsonLines
from minigpt4.datasets.instructions import ImageRecords
from minigpt4.processors.captions import Identity
from minigpt4.records.conversations import Conversation, Sample, Unreadable

SHOWN = 3
"""mistakes of one kind that are listed individually; the count covers all"""


@dataclass(frozen=True)
class OwnData:
    """What a run must know of its data.

    Args:
        images: folder of the images.
        texts: the JSONL.
        num_samples: its lines.
        longest_answer: tokens of the longest answer, without an end symbol.
    """

    images: Path
    texts: Path
    num_samples: int
    longest_answer: int


def read_own_data(images: Path, texts: Path, count_tokens: Callable[[str], int]) -> OwnData:
    """Read all texts and look for all images.

    Args:
        images: the folder that image names are relative to.
        texts: {"image", "caption" | "text" | "conversations"} a line.
        count_tokens: length of a text for the model.

    Raises:
        UserError: no folder, no file, an empty file.
        UserErrors: lines that cannot be learned, and missing images: the first few and how many.
    """
    if not images.is_dir():
        raise UserError("finetune.images", where=f"--images {images}", what="is not a folder",
                        fix="give the folder that the image names in the JSONL are relative to")
    if not texts.is_file():
        raise UserError("finetune.texts", where=f"--texts {texts}", what="is not a file",
                        fix='give a JSONL with a line like {"image": "a.png", "caption": "A rose."} for each image')
    dataset = RecordDataset("texts", JsonLines.open(texts), ImageRecords(images, Identity()))
    if len(dataset) == 0:
        raise UserError("finetune.texts", where=f"--texts {texts}", what="is empty",
                        fix='write a line like {"image": "a.png", "caption": "A rose."} for each image')
    longest = max((count_tokens(answer) for answer in _answers(_all_right(dataset, images))), default=0)
    return OwnData(images.resolve(), texts.resolve(), len(dataset), longest)


def _all_right(dataset: RecordDataset, images: Path) -> list[Conversation]:
    """All conversations, or every kind of mistake in one go."""
    conversations, wrong, absent = [], [], []
    for number in range(len(dataset)):
        sample = dataset.sample(number)
        if isinstance(sample, Unreadable):
            wrong.append(str(sample))
            continue
        absent += [f"{sample.source}: {name}" for name in _absent_images(sample, images)]
        conversations.append(sample.conversation)
    mistakes = []
    if wrong:
        mistakes.append(UserError("finetune.lines", what=f"{len(wrong)} of {len(dataset)} lines cannot be learned: "
                                  f"{_first(wrong)}", fix="fix or remove them; docs/own_data.md shows the forms"))
    if absent:
        mistakes.append(UserError("finetune.images_missing", where=f"--images {images}",
                                  what=f"{len(absent)} images are not there: {_first(absent)}",
                                  fix=f"names in the JSONL are relative to this folder{_of_windows(absent)}"))
    if mistakes:
        raise UserErrors(mistakes)
    return conversations


def _absent_images(sample: Sample, images: Path) -> list[str]:
    paths = [image.path for image in sample.conversation.images]
    return [shown(path.relative_to(images) if path.is_relative_to(images) else path)
            for path in paths if path is not None and not is_regular(path)]


def _of_windows(absent: Sequence[str]) -> str:
    backslashes = any("\\" in name for name in absent)
    return "; backslashes do not separate folders here: write /" if backslashes else ""


def _first(sentences: Sequence[str]) -> str:
    more = [f"and {len(sentences) - SHOWN} more"] if len(sentences) > SHOWN else []
    return ", ".join([*sentences[:SHOWN], *more])


def _answers(conversations: Sequence[Conversation]) -> Iterator[str]:
    return (turn.text for conversation in conversations for turn in conversation.turns if turn.role == "assistant")
