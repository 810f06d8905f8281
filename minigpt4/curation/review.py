"""A local page on which a person reads every description and keeps or drops it with one key.

It listens on this machine alone. Every address holds a random word that only the printed link has, so that no other
page in the browser can decide anything.
"""

from __future__ import annotations

import html
import json
import secrets
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import unquote, urlsplit

from minigpt4.curation.curating import counts_of
from minigpt4.curation.journal import Entry, Journal

PAGE = Path(__file__).with_name("review.html")
MAX_BODY = 10_000
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src "
                               "'unsafe-inline'; connect-src 'self'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Review:
    """What the page shows and changes.

    Args:
        journal: what became of each image.
        images: the folder that its names are relative to.
        word: the random part of every address.
    """

    journal: Journal
    images: Path
    word: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    lock: Lock = field(default_factory=Lock)

    def state(self) -> dict[str, object]:
        """All images with a text, and the counts."""
        counts = counts_of(self.journal)
        entries = [_shown(entry) for entry in self.journal if entry.text]
        return {"entries": entries, "kept": counts.kept, "images": counts.images}

    def decide(self, body: bytes) -> dict[str, object]:
        """Note a decision. Raises `ValueError` or `KeyError` for a request that is none."""
        asked = json.loads(body)
        image, decision = asked["image"], asked["decision"]
        if decision not in ("", "keep", "drop"):
            raise ValueError("no such decision")
        with self.lock:
            self.journal.decide(image, decision)
        return self.state()

    def image(self, name: str) -> Path | None:
        """The file of an image of the journal; None for any other name."""
        return self.images / name if self.journal.get(name) is not None else None


def _shown(entry: Entry) -> dict[str, object]:
    return {"image": entry.image, "text": entry.text, "drafts": list(entry.drafts), "polished": bool(entry.polished),
            "dropped": entry.dropped, "decision": entry.decision, "kept": entry.is_kept}


def serve_review(review: Review, port: int = 0) -> ThreadingHTTPServer:
    """A server on this machine; call its `serve_forever`, and `address_of` for the link."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802  (http.server's name)
            path = self._path()
            if path == "":
                page = PAGE.read_text(encoding="utf-8").replace("WORD", html.escape(review.word))
                self._send(200, "text/html; charset=utf-8", page.encode())
            elif path == "state":
                self._send_json(review.state())
            elif path is not None and path.startswith("image/") and (file := review.image(path[len("image/"):])):
                self._send(200, "application/octet-stream" if not file.is_file() else _kind(file),
                           file.read_bytes() if file.is_file() else b"")
            else:
                self._send(404, "text/plain", b"not found")

        def do_POST(self) -> None:  # noqa: N802
            length = int(self.headers.get("Content-Length") or 0)
            if self._path() != "decide" or length > MAX_BODY:
                self._send(404, "text/plain", b"not found")
                return
            try:
                self._send_json(review.decide(self.rfile.read(length)))
            except (ValueError, KeyError, TypeError) as error:
                self._send(400, "text/plain", type(error).__name__.encode())

        def _path(self) -> str | None:
            """What is asked for behind the word; None where the word is wrong."""
            first, _, rest = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
            return rest if secrets.compare_digest(first.encode(), review.word.encode()) else None

        def _send_json(self, value: object) -> None:
            self._send(200, "application/json", json.dumps(value, ensure_ascii=False).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Silent."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def address_of(server: ThreadingHTTPServer, review: Review) -> str:
    """The link to the page."""
    return f"http://127.0.0.1:{server.server_address[1]}/{review.word}/"


def _kind(file: Path) -> str:
    kinds = {".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".bmp": "image/bmp"}
    return kinds.get(file.suffix.lower(), "image/jpeg")
