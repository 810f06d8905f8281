"""Records with an image and words, as people and LLaVA write them, to conversations.

Known forms: {"image", "caption"} or {"image", "text"}; {"image", "conversations": [{"from", "value"}, …]} with
`<image>` where an image stands ("role"/"content" are read too); `image` may be a list or absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError, nearest
from minigpt4.datasets.dataset import checked_caption
from minigpt4.datasets.record_fields import ANSWERS, names_of, nearest_form, quoted, renaming
from minigpt4.processors.captions import TextProcessor
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Role, Turn, caption_conversation, number_of_marks
from minigpt4.records.images import ImageRef

LLAVA_MARK = "<image>"
ADDRESS = re.compile(r"(https?|ftp|s3|gs|hdfs|file|data):", re.IGNORECASE)
CAPTION_KEYS = ("caption", "text")
ROLES: Mapping[str, Role] = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


@dataclass(frozen=True)
class ImageRecords:
    """Reads one record; images are below `folder`."""

    folder: Path
    text_processor: TextProcessor

    def __call__(self, record: object) -> Conversation:
        """The conversation of a record. Raises `UserError` if a field is missing or wrong."""
        if not isinstance(record, Mapping):
            raise UserError("data.record", what=f"is not an object but {type(record).__name__}")
        images = tuple(self._image(name) for name in _image_names(record))
        if "conversations" in record:
            return _conversation(record["conversations"], images)
        caption = next((record[key] for key in CAPTION_KEYS if key in record), None)
        if caption is None and "error" in record:
            raise UserError("data.record", what="has an error in place of a caption: minigpt4 caption could not read "
                            "its image", fix="remove the line")
        if caption is None:
            raise UserError("data.record", what=f"has {names_of(record)}; this task needs an answer to learn",
                            fix=renaming(record, ANSWERS))
        if len(images) != 1:
            fix = "write a record for each image" if images else nearest_form(record, ("image",))
            raise UserError("data.record", what=f"a caption needs one image, the record has {len(images)}", fix=fix)
        if LLAVA_MARK in str(caption):
            raise UserError("data.caption", what=f"caption contains {LLAVA_MARK}, the mark of an image",
                            fix="remove it: the image stands before its caption anyway")
        return caption_conversation(images[0], self.text_processor(checked_caption(caption)))

    def _image(self, name: str) -> ImageRef:
        if found := ADDRESS.match(name):
            raise UserError("image.address", what=f"'image' is {quoted(name)}", fix=(
                "write the image to a file and name that" if found[1] == "data" else
                f"{found[1]} addresses are not fetched: download the image and name the file"))
        return ImageRef(path=self.folder / name, name=str(self.folder / name))


def _image_names(record: Mapping[str, Any]) -> Sequence[str]:
    names = record.get("image", record.get("images"))
    names = [] if names is None else [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UserError("data.record", what=f"'image' is {quoted(names)}", fix="give a file name or a list of them")
    return names


def _conversation(written: object, images: tuple[ImageRef, ...]) -> Conversation:
    if not isinstance(written, list) or not written:
        raise UserError("data.record", what="'conversations' is not a list of turns",
                        fix='write [{"from": "human", "value": …}, {"from": "gpt", "value": …}]')
    system = None
    if isinstance(written[0], Mapping) and _side(written[0]) == "system":
        system, written = _words(written[0]), written[1:]
    turns = tuple(Turn(_role(turn), _words(turn)) for turn in written)
    _refuse_marks_outside_questions(turns, system)
    if not turns or turns[-1].role != "assistant" or not turns[-1].text.strip():
        raise UserError("data.record", what="has no answer at its end to learn", fix="end with a turn from 'gpt'")
    return Conversation(_with_marks(turns, len(images)), images, system)


def _refuse_marks_outside_questions(turns: tuple[Turn, ...], system: str | None) -> None:
    """Images stand in what the user says; elsewhere their mark would be learned as a word."""
    said = [("the system text", system or ""), *(("an answer", turn.text) for turn in turns if turn.role != "user")]
    for who, text in said:
        if IMAGE_MARK in text:
            raise UserError("data.image_mark", what=f"{who} contains {LLAVA_MARK} (or {IMAGE_MARK}), the mark of an "
                            "image", fix="an image can only stand in a question: move the mark there or remove it")


def _with_marks(turns: tuple[Turn, ...], num_images: int) -> tuple[Turn, ...]:
    """As many marks as images: none at all means that the images stand before the first question."""
    marks = number_of_marks(turns)
    if marks == 0 and num_images and turns[0].role == "user":
        return (Turn("user", IMAGE_MARK * num_images + "\n" + turns[0].text), *turns[1:])
    if marks != num_images:
        raise UserError("data.record", what=f"has {num_images} images and {marks} {LLAVA_MARK} marks",
                        fix="write one mark for each image")
    return turns


def _side(turn: Mapping[str, Any]) -> str:
    return str(turn.get("from", turn.get("role", "")))


def _role(turn: object) -> Role:
    if not isinstance(turn, Mapping):
        raise UserError("data.record", what=f"a turn is not an object but {type(turn).__name__}",
                        fix='write each turn as {"from": "human" or "gpt", "value": …}')
    if "from" not in turn and "role" not in turn:
        raise UserError("data.record", what="a turn does not say who speaks", fix=nearest_form(turn, ("from",)))
    side = _side(turn)
    if side not in ROLES:
        raise UserError("data.record", what=f"a turn is from {quoted(side)}", fix=nearest(side, ROLES))
    return ROLES[side]


def _words(turn: Mapping[str, Any]) -> str:
    if "value" not in turn and "content" not in turn:
        raise UserError("data.record", what="a turn says None", fix=nearest_form(turn, ("value",)))
    words = turn.get("value", turn.get("content"))
    if not isinstance(words, str):
        parts = f", with {LLAVA_MARK} where an image stands" if isinstance(words, list) else ""
        raise UserError("data.record", what=f"a turn says {quoted(words)}", fix=f"give one text under 'value'{parts}")
    return words.replace(LLAVA_MARK, IMAGE_MARK)
