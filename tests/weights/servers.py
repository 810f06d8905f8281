"""Servers on this machine that misbehave as asked: files with or without ranges, cut connections, a small hub."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""of the hub's only revision"""


@dataclass
class Server:
    """What is served and how; `requests` tells afterwards what was asked for.

    Args:
        files: path -> bytes.
        ranges: whether a part of a file can be had.
        etags: whether files have ETags.
        cuts: so many answers end in the middle, without a word.
        slow: seconds between pieces of 4096 bytes.
        statuses: path -> (status, the hub's word for the error) it is answered with, always.
        redirects: path -> where to instead.
        content_type: of every file.
        hub: repository -> its files by path; served as huggingface_hub expects it.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    etags: bool = True
    cuts: int = 0
    slow: float = 0.0
    statuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"
    hub: dict[str, dict[str, bytes]] = field(default_factory=dict)
    licence: str = "mit"
    address: str = ""
    requests: list[tuple[str, str, Message]] = field(default_factory=list)

    def asked(self, path: str) -> list[str | None]:
        """The Range header of every GET of a path."""
        return [headers.get("Range") for method, asked, headers in self.requests if (method, asked) == ("GET", path)]


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve on a free port of this machine until the block ends."""

    class Handler(_Handler):
        behaviour = server

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        server.address = f"http://127.0.0.1:{listening.server_address[1]}"
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            listening.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
    behaviour: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.behaviour.requests.append((self.command, path, self.headers))
        if path in self.behaviour.statuses:
            status, error = self.behaviour.statuses[path]
            self._send(status, {"X-Error-Code": error}, b"")
        elif path in self.behaviour.redirects:
            self._send(302, {"Location": self.behaviour.redirects[path]}, b"")
        elif path.startswith("/api/"):
            self._api(path)
        elif (content := self._file(path)) is not None:
            self._file_answer(content)
        else:
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")

    def _file(self, path: str) -> bytes | None:
        for repository, files in self.behaviour.hub.items():
            for revision in (COMMIT, "main"):
                prefix = f"/{repository}/resolve/{revision}/"
                if path.startswith(prefix):
                    return files.get(path.removeprefix(prefix))
        return self.behaviour.files.get(path)

    def _file_answer(self, content: bytes) -> None:
        headers = {"Content-Type": self.behaviour.content_type}
        if self.behaviour.etags:
            headers["ETag"] = f'"{hashlib.md5(content).hexdigest()}"'
        wanted = self.headers.get("Range")
        if wanted is None or not self.behaviour.ranges:
            return self._send(200, headers, content)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return self._send(416, headers, b"")
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206, headers, content[start:])

    def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        is_cut = status in (200, 206) and self.behaviour.cuts > 0
        if is_cut:
            self.behaviour.cuts -= 1
            self.close_connection = True
        with suppress(ConnectionError):  # who asked may hang up, or be killed
            for start in range(0, len(content) // (2 if is_cut else 1), 4096):
                self.wfile.write(content[start : start + 4096])
                time.sleep(self.behaviour.slow)

    def _api(self, path: str) -> None:
        for repository, files in self.behaviour.hub.items():
            kind = repository if repository.startswith("spaces/") else f"models/{repository}"
            if path in (f"/api/{kind}", f"/api/{kind}/revision/main", f"/api/{kind}/revision/{COMMIT}"):
                about = {"id": repository, "sha": COMMIT, "cardData": {"license": self.behaviour.licence}}
                return self._json(about)
            if path == f"/api/{kind}/tree/{COMMIT}":
                return self._json([_entry(name, content) for name, content in files.items()])
        self._send(404, {"X-Error-Code": "RepoNotFound"}, b"")

    def _json(self, value: object) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def _entry(name: str, content: bytes) -> dict[str, object]:
    """A file of the list; everything but JSON is large-file storage with a checksum."""
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
    if not name.endswith(".json"):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
    return entry
