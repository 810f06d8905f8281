"""User errors, reported in one sentence.

A `UserError` says where (file:line, key, shard and member), what is wrong with which value, and what to do.
The terminal prints it without a traceback and exits with 2; page and API show the same sentence and code.
Codes are dotted and stable (`config.unknown_key`, `weights.missing`): docs and translations hang on them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(Exception):
    """One mistake a user can fix.

    Args:
        code: dotted, stable name of the kind of mistake.
        where: the place: `train.yaml:7`, a path, `shard 00412.tar, member 000123`; may be empty.
        what: what is wrong, with the value.
        fix: what to do; may be empty where `what` already says it.
    """

    def __init__(self, code: str, *, what: str, where: str = "", fix: str = "") -> None:
        self.code = code
        self.where = where
        self.what = what
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        sentence = f"{self.where}: {self.what}" if self.where else self.what
        return f"{sentence}; {self.fix}" if self.fix else sentence

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a data worker (keyword arguments are lost by default pickling)."""
        return _rebuild, (self.code, self.what, self.where, self.fix)


def _rebuild(code: str, what: str, where: str, fix: str) -> UserError:
    return UserError(code, what=what, where=where, fix=fix)


class UserErrors(UserError):
    """Several mistakes found in one go, one sentence a line; `errors` holds them singly."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        self.errors = tuple(errors)
        super().__init__(self.errors[0].code, what="\n".join(str(error) for error in self.errors))

    def __reduce__(self) -> tuple[object, ...]:
        return UserErrors, (self.errors,)


def printable(text: str) -> str:
    """The text with control characters, halves of surrogate pairs and changes of the writing direction escaped.

    Lines and tabs stay. A terminal obeys such characters, and they may come from a file of anyone.
    """
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def nearest(word: str, known: Collection[str]) -> str:
    """One clause for an error sentence: the nearest known word, or all of them."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(sorted(known))
