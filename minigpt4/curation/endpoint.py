"""A chat endpoint that speaks as OpenAI's: asked again after a while where it fails, given up with a reason.

Only the address that a person gives is asked; redirects are not followed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from minigpt4.common.errors import UserError

RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
LONGEST_WAIT = 60.0
MAX_ANSWER_BYTES = 1 << 20


class GaveUp(Exception):
    """The endpoint did not answer; `reasons` says what each attempt met."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class Refused(UserError):
    """The endpoint will never answer like this: a wrong key, an unknown model."""


@dataclass(frozen=True)
class Endpoint:
    """Where polishing is asked for.

    Args:
        url: base address, such as http://localhost:8000/v1; `/chat/completions` is added.
        model: name of the model there.
        key: sent as a bearer token; empty = none.
        timeout: seconds until an answer is given up.
        attempts: how often one text is tried.
        wait: seconds before the second attempt; each further wait is twice as long.
        sleep: waits; a test gives its own.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    attempts: int = 4
    wait: float = 1.0
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise UserError("curate.endpoint", where="--endpoint", what=f"is '{self.url}'",
                            fix="give an address that begins with http:// or https://")

    def answer(self, messages: Sequence[Mapping[str, str]]) -> str:
        """What it answers.

        Raises:
            GaveUp: no attempt brought a text.
            Refused: a reply that no further attempt would change.
        """
        import httpx

        reasons: list[str] = []
        for attempt in range(self.attempts):
            try:
                reply = httpx.post(f"{self.url.rstrip('/')}/chat/completions", headers=self._headers(),
                                   json={"model": self.model, "messages": list(messages), "temperature": 0.0},
                                   timeout=self.timeout, follow_redirects=False)
            except httpx.HTTPError as error:
                reasons.append(f"{type(error).__name__}")
            else:
                if reply.status_code == 200:
                    text, fault = _text_of(reply.content)
                    if not fault:
                        return text
                    reasons.append(fault)
                elif reply.status_code in RETRIED:
                    reasons.append(f"status {reply.status_code}")
                else:
                    raise Refused("curate.endpoint", where=self.url, what=f"answers with status {reply.status_code}",
                                  fix="check address, model and key")
                self._pause(attempt, reply.headers.get("retry-after"))
                continue
            self._pause(attempt, None)
        raise GaveUp(reasons)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _pause(self, attempt: int, asked: str | None) -> None:
        """As long as the endpoint asks for, else longer each time; not after the last attempt."""
        if attempt + 1 < self.attempts:
            seconds = float(asked) if asked and asked.isdecimal() else self.wait * 2**attempt
            self.sleep(min(seconds, LONGEST_WAIT))


def _text_of(content: bytes) -> tuple[str, str]:
    """(text of a reply, '') or ('', what is wrong with it)."""
    if len(content) > MAX_ANSWER_BYTES:
        return "", f"{len(content)} bytes"
    try:
        reply: Any = json.loads(content)
        text = reply["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return "", "broken JSON"
    return (text.strip(), "") if isinstance(text, str) and text.strip() else ("", "an empty answer")
