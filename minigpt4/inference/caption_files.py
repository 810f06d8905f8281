"""The folder that is described and the JSONL that holds what was said: resumable, a line for each image."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular, shown
from minigpt4.common.texts import cannot_read
from minigpt4.processors.file_formats import READ_ENDINGS, UNREAD_ENDINGS

IMAGE_ENDINGS = READ_ENDINGS | UNREAD_ENDINGS
"""of what is taken for an image; one that is not read here gets a line with an error"""
BEGINNING = b'{"image": "'
"""of every line that is written"""


@dataclass(frozen=True)
class Caption:
    """One line of the result: the image, what was said, why it ended; `error` where it could not be read."""

    image: str
    caption: str = ""
    reason: str = ""
    error: str = ""


@dataclass(frozen=True)
class FolderContents:
    """The files of a folder and its subfolders."""

    images: list[Path]
    """what ends like an image, by name"""
    others: Counter[str]
    """how many of the other files end so"""


def images_of(folder: str | Path) -> FolderContents:
    """The images of a folder and its subfolders, links to nothing among them; and how many other files there are.

    Raises:
        UserError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("image.folder", where=shown(folder), what="is not a folder", fix="give a folder of images")
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    images = [path for path in files if _is_like_an_image(path)]
    others = Counter(path.suffix.lower() or "without ending" for path in files if not _is_like_an_image(path))
    if not images:
        known = " ".join(f".{ending}" for ending in sorted(READ_ENDINGS))
        raise UserError("image.none", where=shown(folder), what=f"contains no images ({len(files)} other files)",
                        fix=f"known: {known}")
    return FolderContents(images, others)


def _is_like_an_image(path: Path) -> bool:
    return path.suffix[1:].lower() in IMAGE_ENDINGS


def write_captions(captions: Iterable[Caption], output: Path, folder: Path) -> Iterator[Caption]:
    """Append each caption to a JSONL file as it comes, and hand it on (for a progress bar).

    Args:
        captions: of images in the folder.
        output: the file.
        folder: what image names are relative to, so that the file can serve as texts of own data.

    Raises:
        UserError: the file cannot be written, because the disk is full for example; the lines before are kept.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        file = open(output, "ab", buffering=0)  # noqa: SIM115  (closed below; unbuffered, so closing writes nothing)
    except OSError as error:
        raise _cannot_write(output, error) from error
    with file:
        for caption in captions:
            line = json.dumps(_entry(caption, folder), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            try:
                while line:
                    line = line[file.write(line) :]
            except OSError as error:
                raise _cannot_write(output, error) from error
            yield caption


def _entry(caption: Caption, folder: Path) -> dict[str, str]:
    """What a line holds; the folder as it was given tells lines of several folders apart."""
    name = Path(caption.image)
    image = name.relative_to(shown(folder)).as_posix() if name.is_relative_to(shown(folder)) else caption.image
    said = {"error": caption.error} if caption.error else {"caption": caption.caption, "reason": caption.reason}
    return {"image": image, **said, "folder": shown(folder)}


def _cannot_write(output: Path, error: OSError) -> UserError:
    return UserError("file.write", where=shown(output), what=f"cannot be written ({error.strerror or error})",
                     fix="free space or choose another --output; the lines written before are kept, and the same "
                     "command continues after them")


def already_described(output: Path) -> set[str]:
    """Paths of images, as `shown` writes them, that an earlier run has written; a half line at the end is taken off.

    Raises:
        UserError: the file is a folder or holds something else, or no file can be written there.
    """
    _refuse_unwritable(output)
    if not output.exists():
        return set()
    try:
        with open_regular(output) as file:
            *whole, rest = file.read().split(b"\n")
        if rest.endswith(b"}") and rest.startswith(BEGINNING):  # all of a line but its end
            _append(output, b"\n")
            whole, rest = [*whole, rest], b""
        found = {_path_of(line, number, output) for number, line in enumerate(whole, 1) if line.strip()}
        if rest:
            _take_off_half_line(output, len(whole) + 1, rest)
    except OSError as error:
        raise cannot_read(output, error, "caption.output") from error
    return found


def _append(output: Path, content: bytes) -> None:
    with open(output, "ab") as file:
        file.write(content)


def _take_off_half_line(output: Path, number: int, rest: bytes) -> None:
    """Cut what a kill or a full disk left behind the last whole line; anything else is not ours to cut."""
    if not BEGINNING.startswith(rest[: len(BEGINNING)]):
        _refuse_other_content(output, number)
    os.truncate(output, output.stat().st_size - len(rest))


def _path_of(line: bytes, number: int, output: Path) -> str:
    """Of an image; lines of earlier versions have no folder and hold the whole path as the name."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        _refuse_other_content(output, number)
    return str(Path(str(entry.get("folder", ""))) / entry["image"])


def _refuse_other_content(output: Path, line: int) -> NoReturn:
    raise UserError("caption.output", where=f"{shown(output)}:{line}", what="is no line of captions, so the file is "
                    "something else and is left as it is", fix="choose another file with --output")


def _refuse_unwritable(output: Path) -> None:
    """Raise `UserError` where no file can come to be, before anything large is loaded."""
    where, fix = shown(output), "choose another file with --output"
    if output.is_dir():
        raise UserError("caption.output", where=where, what="is a folder",
                        fix=f"name a file in it: {where}/captions.jsonl")
    if output.exists() and not output.is_file():
        raise UserError("caption.output", where=where, what="is no regular file", fix=fix)
    parent = next(path for path in output.absolute().parents if path.exists())
    if not parent.is_dir():
        raise UserError("caption.output", where=where, what=f"lies below {shown(parent)}, which is a file", fix=fix)
    if not os.access(output if output.exists() else parent, os.W_OK):
        raise UserError("caption.output", where=where, what="cannot be written (no permission)", fix=fix)
