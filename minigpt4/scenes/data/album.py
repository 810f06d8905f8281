"""A folder of photographs with their subjects: what the embedded default's two stages are trained on beside scenes.

    DIR/captions.jsonl: {"image": "rose_01.jpg", "class": "rose", …} a line     (examples/photos of the repository)

Of every subject the last few are kept back: they are shown and asked about, never trained on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

from PIL import Image

from minigpt4.common.errors import UserError, nearest
from minigpt4.common.files import shown
from minigpt4.common.texts import read_text
from minigpt4.processors.decoding import open_image
from minigpt4.records.images import ImageRef
from minigpt4.scenes.photographs.colours import main_colour
from minigpt4.scenes.photographs.outliers import outlier
from minigpt4.scenes.photographs.photograph import SUBJECTS, UNKNOWN, Photograph
from minigpt4.scenes.photographs.varying import varied

LIST = "captions.jsonl"
KEPT_BACK = 2
"""photographs of each subject that are not trained on"""
SIDE = 96
"""of the images that are made, in pixels"""


@dataclass(frozen=True)
class AlbumPhotograph:
    """A file and what is on it."""

    path: Path
    subject: str

    def as_it_is(self) -> Photograph:
        image = _opened(self.path)
        return Photograph(self.subject, main_colour(image), image)


@dataclass(frozen=True)
class Album:
    """Photographs to train on, and those that are kept back."""

    training: tuple[AlbumPhotograph, ...]
    kept_back: tuple[AlbumPhotograph, ...] = field(default=())

    def photograph(self, random: Random, unknown_share: float) -> Photograph:
        """A part of a photograph to train on in other light, or an image made of some that shows nothing known."""
        if random.random() < unknown_share:
            image, subject = outlier(random, self._any_image, SIDE), UNKNOWN
        else:
            chosen = random.choice(self.training)
            image, subject = varied(_opened(chosen.path), random, SIDE), chosen.subject
        return Photograph(subject, main_colour(image), image)

    def _any_image(self, random: Random) -> Image.Image:
        return _opened(random.choice(self.training).path)


def read_album(folder: Path) -> Album:
    """The photographs of a folder.

    Raises:
        UserError: the list is not there, a line of it is something else, or a subject has too few photographs.
    """
    file = folder / LIST
    if not file.is_file():
        raise UserError("album.missing", where=str(folder), what=f"has no {LIST}",
                        fix='give a folder of photographs with {"image": …, "class": …} lines, or leave --album out')
    lines = read_text(file, "album.list").splitlines()
    photographs = [_photograph(line, folder, f"{shown(file)}:{number}") for number, line in enumerate(lines, 1)]
    by_subject: dict[str, list[AlbumPhotograph]] = defaultdict(list)
    for photograph in photographs:
        by_subject[photograph.subject].append(photograph)
    _check_numbers(by_subject, file)
    return Album(
        tuple(each for one in by_subject.values() for each in one[:-KEPT_BACK]),
        tuple(each for one in by_subject.values() for each in one[-KEPT_BACK:]),
    )


def _photograph(line: str, folder: Path, where: str) -> AlbumPhotograph:
    try:
        record = json.loads(line)
        image, subject = str(record["image"]), str(record["class"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("album.line", where=where, what=f"names no photograph ({type(error).__name__}: {error})",
                        fix='write {"image": "rose_01.jpg", "class": "rose"}') from error
    if subject not in SUBJECTS:
        raise UserError("album.subject", where=where, what=f"unknown class '{subject}'", fix=nearest(subject, SUBJECTS))
    if not (folder / image).is_file():
        raise UserError("album.image", where=where, what=f"image '{image}' is not there",
                        fix="images are relative to the folder of the list")
    return AlbumPhotograph(folder / image, subject)


def _check_numbers(by_subject: dict[str, list[AlbumPhotograph]], file: Path) -> None:
    few: Sequence[str] = [subject for subject in SUBJECTS if len(by_subject[subject]) <= KEPT_BACK]
    if few:
        raise UserError("album.few", where=str(file), what=f"has too few photographs of {', '.join(few)}",
                        fix=f"give more than {KEPT_BACK} of each of {', '.join(SUBJECTS)}")


@lru_cache(maxsize=512)
def _opened(path: Path) -> Image.Image:
    return open_image(ImageRef(path=path, name=path.name))
