"""Words and images in order: what training samples and chats share.

Text holds `IMAGE_MARK` once for every image of its turn, in order; `Conversation.images` lists the images of all turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from minigpt4.common.errors import UserError
from minigpt4.records.images import ImageRef

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_MARK = "<ImageHere>"
LONGEST_NAME = 300
"""characters of a name in a sentence"""

Role = Literal["user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """What one side says. A user turn that is only image marks asks nothing: training puts a prompt in its place."""

    role: Role
    text: str


def number_of_marks(turns: Iterable[Turn]) -> int:
    """Image marks of user turns; in an answer a mark is a word (data that hold one are refused)."""
    return sum(turn.text.count(IMAGE_MARK) for turn in turns if turn.role == "user")


@dataclass(frozen=True)
class Conversation:
    """Turns and their images; `system` replaces the template's own system text where it is not None."""

    turns: tuple[Turn, ...]
    images: tuple[ImageRef, ...] = ()
    system: str | None = None

    def with_turns(self, turns: tuple[Turn, ...]) -> Conversation:
        """Only these turns (a beginning of them), with the images that they show."""
        marks = number_of_marks(turns)
        return Conversation(turns, self.images[:marks], self.system)

    def __post_init__(self) -> None:
        marks = number_of_marks(self.turns)
        assert marks == len(self.images), f"{marks} image marks in the text, {len(self.images)} images"


@dataclass(frozen=True)
class Sample:
    """All that a data set returns: its id, where it is from, what it says."""

    id: str
    source: str
    conversation: Conversation
    targets: Mapping[str, Tensor] = field(default_factory=dict, compare=False)
    """what a task learns or measures of the sample beside its words, by name, each in a shape of its own"""


@dataclass(frozen=True)
class Unreadable:
    """A sample that could not be read: it leaves a hole and a line in the ledger, never a substitute."""

    id: str
    source: str
    reason: str
    code: str = "data.unreadable"
    fix: str = ""
    """what to do, where the reason does not say it already"""
    file: str = ""
    """the file that was opened or looked for, where the source does not name it already"""

    @classmethod
    def because(cls, sample_id: str, source: str, error: UserError) -> Unreadable:
        """The hole that an error leaves in the place of a sample."""
        finer = error.where.startswith(source)  # 'a.jsonl:7:3' for 'a.jsonl:7'
        return cls(sample_id, error.where if finer else source, error.what, error.code, error.fix,
                   "" if error.where in source or finer else shortened(error.where))

    @property
    def cause(self) -> str:
        """The reason and what to do."""
        return f"{self.reason}; {self.fix}" if self.fix else self.reason

    def __str__(self) -> str:
        reason = f"{self.reason}: {self.file}" if self.file else self.reason
        return f"{self.source}: {reason}; {self.fix}" if self.fix else f"{self.source}: {reason}"


def shortened(text: str) -> str:
    """The beginning and the end of a text that is too long to be read in a sentence."""
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME // 2]} … {text[-LONGEST_NAME // 2 :]}"


def caption_conversation(image: ImageRef, caption: str, question: str = IMAGE_MARK) -> Conversation:
    """An image and its caption: the user shows the image and asks nothing, or the given question with an image mark."""
    return Conversation((Turn("user", question), Turn("assistant", caption)), (image,))
