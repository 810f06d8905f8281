"""A chat endpoint on this machine that answers as a script says, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def reply(text: str) -> tuple[int, bytes]:
    """A good answer."""
    return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode()


SLOW = (0, b"")
"""an answer that does not come in time"""


@dataclass
class Scripted:
    """Replies are given in order, the last again and again."""

    replies: Sequence[tuple[int, bytes]]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def scripted(*replies: tuple[int, bytes], retry_after: str = "") -> Iterator[Scripted]:
    script = Scripted(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            number = min(len(script.asked), len(replies) - 1)
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            script.headers.append(dict(self.headers))
            status, body = replies[number]
            if (status, body) == SLOW:
                time.sleep(0.6)
                return
            self.send_response(status)
            if retry_after and status == 429:
                self.send_header("Retry-After", retry_after)
            if status in (301, 302):
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
