"""A folder of images and a JSONL of texts, read through once: what own data are trained on and measured by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError, UserErrors
from minigpt4.common.files import is_regular, shown
from minigpt4.datasets.dataset import RecordDataset
from minigpt4.datasets.formats.lines import JsonLines
from minigpt4.datasets.instructions import ImageRecords
from minigpt4.processors.captions import Identity
from minigpt4.records.conversations import Sample, Unreadable

SHOWN = 3
"""mistakes of one kind that are listed individually; the count covers all"""


@dataclass(frozen=True)
class OwnTexts:
    """Own data whose lines can all be learned and whose images are all there.

    Args:
        images: folder of the images.
        texts: the JSONL.
        samples: its lines, in their order.
    """

    images: Path
    texts: Path
    samples: tuple[Sample, ...]

    def answers(self) -> Iterator[str]:
        """All that is to be said, in order."""
        return (turn.text for sample in self.samples for turn in sample.conversation.turns if turn.role == "assistant")


def read_own_texts(images: Path, texts: Path, *, limit: int | None = None) -> OwnTexts:
    """Read all texts and look for all images.

    Args:
        images: the folder that image names are relative to.
        texts: {"image", "caption" | "text" | "conversations"} a line.
        limit: only the first so many lines.

    Raises:
        UserError: no folder, no file, an empty file.
        UserErrors: lines that cannot be learned, and missing images: the first few and how many.
    """
    if not images.is_dir():
        raise UserError("own_data.images", where=f"--images {images}", what="is not a folder",
                        fix="give the folder that the image names in the JSONL are relative to")
    if not texts.is_file():
        raise UserError("own_data.texts", where=f"--texts {texts}", what="is not a file",
                        fix='give a JSONL with a line like {"image": "a.png", "caption": "A rose."} for each image')
    folder = images.resolve()
    dataset = RecordDataset("texts", JsonLines.open(texts), ImageRecords(folder, Identity()))
    if len(dataset) == 0:
        raise UserError("own_data.texts", where=f"--texts {texts}", what="is empty",
                        fix='write a line like {"image": "a.png", "caption": "A rose."} for each image')
    return OwnTexts(folder, texts.resolve(), _all_right(dataset, folder, limit))


def _all_right(dataset: RecordDataset, images: Path, limit: int | None) -> tuple[Sample, ...]:
    """All samples, or every kind of mistake in one go."""
    samples, wrong, absent = [], [], []
    number_of_lines = min(len(dataset), limit or len(dataset))
    for number in range(number_of_lines):
        sample = dataset.sample(number)
        if isinstance(sample, Unreadable):
            wrong.append(str(sample))
            continue
        absent += [f"{sample.source}: {name}" for name in _absent_images(sample, images)]
        samples.append(sample)
    mistakes = []
    if wrong:
        mistakes.append(UserError("own_data.lines", what=f"{len(wrong)} of {number_of_lines} lines cannot be learned: "
                                  f"{_first(wrong)}", fix="fix or remove them; docs/own_data.md shows the forms"))
    if absent:
        mistakes.append(UserError("own_data.images_missing", where=f"--images {images}",
                                  what=f"{len(absent)} images are not there: {_first(absent)}",
                                  fix=f"names in the JSONL are relative to this folder{_of_windows(absent)}"))
    if mistakes:
        raise UserErrors(mistakes)
    return tuple(samples)


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
