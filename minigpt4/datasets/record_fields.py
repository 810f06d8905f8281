"""Which fields a record has, and which form it is nearest to: the one place that words this for people."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

SHOWN_FIELDS = 12
"""fields that a sentence names"""
SHOWN_LENGTH = 60
"""characters of a value that a sentence quotes"""

ANSWERS = ("caption", "text", "conversations")
"""fields of which one holds what is learned"""

_OTHER_NAMES: Mapping[str, Sequence[str]] = {
    "image": ("file_name", "filename", "file", "img", "image_path", "img_path", "image_file", "image_name", "path",
              "picture", "photo", "url", "image_url", "images_path", "image_id"),
    "image_id": ("id", "image", "file_name", "filename", "file"),
    "conversations": ("messages", "conversation", "dialog", "dialogue", "dialogs", "turns", "chat", "history"),
    "caption": ("captions", "description", "descriptions", "sentence", "sentences", "label", "title", "alt", "output",
                "blip_caption", "response", "answer", "text"),
    "from": ("role", "speaker", "author", "sender", "name", "user"),
    "value": ("text", "content", "message", "utterance", "body"),
    "text": ("caption", "content", "sentence", "body", "raw", "output"),
}
"""field -> what others call it, the likeliest first"""

_QUESTIONS = ("question", "instruction", "prompt", "query", "input", "user")
_REPLIES = ("answer", "answers", "output", "response", "reply", "assistant", "completion")


def nearest_form(record: object, wanted: Sequence[str]) -> str:
    """What to do with a record that has none of the wanted fields: its fields, and which of them to rename.

    Args:
        record: what was read.
        wanted: names of which one is needed.

    Returns:
        a clause for an error's `fix`: "it has the fields file_name, text: rename 'file_name' to 'image'".
    """
    if not isinstance(record, Mapping):
        return f"it is not an object but {type(record).__name__}: write an object with {_either(wanted)}"
    return f"it has {'the fields ' if record else ''}{names_of(record)}: {renaming(record, wanted)}"


def names_of(record: Mapping[str, object]) -> str:
    """The names of a record's fields, the first ones of very many."""
    names = [quoted(str(name))[1:-1] for name in list(record)[:SHOWN_FIELDS]]
    more = [f"{len(record) - SHOWN_FIELDS} more"] if len(record) > SHOWN_FIELDS else []
    return ", ".join([*names, *more]) or "no fields"


def quoted(value: object) -> str:
    """A value as a sentence quotes it: short, and printable."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    text = text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _either(wanted: Sequence[str]) -> str:
    quoted_names = [f"'{name}'" for name in wanted]
    return " or ".join(filter(None, (", ".join(quoted_names[:-1]), quoted_names[-1])))


def renaming(record: Mapping[str, object], wanted: Sequence[str]) -> str:
    """Which field of a record to rename to one of those wanted, or which one to add."""
    question, reply = (next((name for name in names if name in record), None) for names in (_QUESTIONS, _REPLIES))
    if "conversations" in wanted and question and reply:
        return (f"write '{question}' and '{reply}' as \"conversations\": "
                '[{"from": "human", "value": …}, {"from": "gpt", "value": …}]')
    for name in sorted(wanted, key=lambda each: each != "conversations"):  # messages beside a title are the dialogue
        for other in _OTHER_NAMES.get(name, ()):
            if other in record:
                return f"rename '{other}' to '{name}'"
    for name in wanted:
        if close := difflib.get_close_matches(name, [str(field) for field in record], n=1):
            return f"rename {quoted(close[0])} to '{name}'"
    return f"add {_either(wanted)}"
