"""What every request and answer of the page passes: bounds before work, one content policy, no other host.

An ASGI middleware around gradio's application. gradio has more doors than the page needs (it fetches addresses for
browsers, edits its own source, records runs); only those that the page uses are open.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeAlias

from minigpt4.common.errors import UserError
from minigpt4.serve.limits import Limits
from minigpt4.serve.uploads import Uploads

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

POLICY = "; ".join([
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # gradio's page has inline scripts and builds functions of `js=`
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' data: blob:",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
    "connect-src 'self'",
    "frame-src 'none'",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'",
])
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
API = "/gradio_api"
LEARNED = "/learned"
"""address of the page that shows how the model learned"""
OPEN = re.compile(
    r"/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(/\w+)?|log(in|out)|login_check"
    r"|(assets|static|svelte)/.*)?/?"
    rf"|{API}/(info|openapi\.json|startup-events|app_id|user|login_check|token|theme\.css|upload|upload_progress"
    r"|queue/(join|data)|heartbeat/[\w-]+|cancel|reset|(run|api|call)/[^:]*|file=.+)/?")
"""paths that the page and gradio_client use"""

log = logging.getLogger(__name__)


class Gate:
    """Lets through what the page needs.

    Args:
        app: gradio's application.
        uploads: take over every file that arrives.
        limits: sizes of requests.
        learned: the HTML page that shows how the model learned; None = there is none.
    """

    def __init__(self, app: Application, uploads: Uploads, limits: Limits, learned: bytes | None = None) -> None:
        self.app, self.uploads, self.limits, self.learned = app, uploads, limits, learned

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = _with_headers(send)
        try:
            await self._pass(scope, receive, guarded)
        except UserError as error:
            asked = scope["path"].rstrip("/") == f"{API}/queue/join"
            await (_refuse_question(guarded, error) if asked else _refuse(guarded, 413, error))

    async def _pass(self, scope: Message, receive: Receive, send: Send) -> None:
        path, size = scope["path"], _size(scope)
        if path == LEARNED and self.learned is not None and scope["method"] in ("GET", "HEAD"):
            await _send(send, 200, b"text/html; charset=utf-8", b"" if scope["method"] == "HEAD" else self.learned)
            return
        if not OPEN.fullmatch(path) or re.match(rf"{API}/file=\s*\w+:", path):
            await _refuse(send, 404, UserError("page.no_such_address", what="the page has nothing at this address"))
        elif path.rstrip("/") == f"{API}/upload":
            await self._upload(scope, receive, send, size)
        elif scope["method"] == "POST":
            await self._post(scope, receive, send, size)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, scope: Message, receive: Receive, send: Send, size: int | None) -> None:
        if size is None:
            raise UserError("page.no_size", what="an upload must say its size", fix="send Content-Length")
        with self.uploads.room_for(size):
            answer = _Answer()
            await self.app(scope, receive, answer)
        if answer.status == 200:
            answer.body = json.dumps([self.uploads.adopt(path) for path in json.loads(answer.body)]).encode()
        await answer.hand_on(send)

    async def _post(self, scope: Message, receive: Receive, send: Send, size: int | None) -> None:
        limit = self.limits.body_bytes
        too_large = UserError("page.large_request", what=f"the question is larger than {limit // 1_000_000} MB",
                              fix="ask a shorter one")
        if (size or 0) > limit:
            raise too_large
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client is gone
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > limit:
                raise too_large
        paths = list(_paths(body))
        if len(paths) > self.limits.question_files:
            raise UserError("page.many_images", what=f"the question comes with {len(paths)} images, "
                            f"more than {self.limits.question_files}", fix="show fewer images")
        if any(not self.uploads.holds(path) for path in set(paths)):
            raise UserError("page.foreign_file", what="a question can only come with files that were uploaded here",
                            fix="upload the image first")
        await self.app(scope, _replayed(body, receive), send)


class _Answer:
    """An answer that is held back until it is complete."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.body = b""

    @property
    def status(self) -> int:
        return int(self.start["status"])

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    async def hand_on(self, send: Send) -> None:
        headers = [(key, value) for key, value in self.start["headers"] if key.lower() != b"content-length"]
        length = (b"content-length", str(len(self.body)).encode())
        await send({**self.start, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": self.body})


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS]
        await send(message)

    return guarded


async def _refuse_question(send: Send, error: UserError) -> None:
    """As gradio's page and client read it: the sentence stands below the box."""
    invalid = {"__type__": "validate", "is_valid": False, "message": str(error), "parameter_name": "question"}
    await _reply(send, 422, {"detail": [invalid], "code": error.code})


async def _refuse(send: Send, status: int, error: UserError) -> None:
    await _reply(send, status, {"detail": str(error), "code": error.code})


async def _reply(send: Send, status: int, value: object) -> None:
    await _send(send, status, b"application/json", json.dumps(value).encode())


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _size(scope: Message) -> int | None:
    given = next((value for key, value in scope["headers"] if key == b"content-length"), b"")
    return int(given) if given.isdigit() else None


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return next(messages, None) or await receive()

    return replay


def _paths(body: bytes) -> Iterator[str]:
    """Every `path` of the files in a question; a body that is no JSON has none, and gradio refuses it."""
    try:
        rest = [json.loads(body)]
    except (ValueError, RecursionError):
        return
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                yield path
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
