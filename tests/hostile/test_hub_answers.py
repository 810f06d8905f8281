"""A hub that answers as it should not: refused in a sentence, nothing outside of the folder, no byte too many.

The commands run in processes of their own, because HF_ENDPOINT is read at import.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"
ABOUT: dict[str, Any] = {"id": "a/b", "sha": SHA, "cardData": {"license": "mit"}}
FILE: dict[str, Any] = {"type": "file", "path": "config.json", "size": 2, "oid": "0" * 40}


@dataclass(frozen=True)
class Answer:
    """What the hub says of a repository, of its files, and of a file."""

    about: object = None
    tree: object = None
    content: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] | None = None
    refused: bool = True


def named(path: str) -> Answer:
    return Answer(tree=[{**FILE, "path": path}])


ANSWERS: dict[str, Answer] = {
    "sound": Answer(refused=False),
    "up": named("../evil.json"), "far up": named("a/../../../evil.json"), "absolute": named("/tmp/evil.json"),
    "backslash": named("..\\evil.json"), "drive": named("C:evil.json"), "no name": named(""), "dot": named("."),
    "escape": named("a\x1b[2Jb.json"), "new line": named("a\nb.json"), "half pair": named("a\ud800.json"),
    "right to left": named("a\u202enosj.py"),
    "name is a number": Answer(tree=[{**FILE, "path": 7}]), "name is a list": Answer(tree=[{**FILE, "path": []}]),
    "size below zero": Answer(tree=[{**FILE, "size": -1}]), "size is text": Answer(tree=[{**FILE, "size": "x"}]),
    "size absurd": Answer(tree=[{**FILE, "size": 10 ** 18}]),
    "no size": Answer(tree=[{"type": "file", "path": "config.json"}]),
    "checksum is text": Answer(tree=[{**FILE, "lfs": {"oid": "../x", "size": 2, "pointerSize": 1}}]),
    "another checksum": Answer(tree=[{**FILE, "lfs": {"oid": "0" * 64, "size": 2, "pointerSize": 1}}]),
    "tree is an object": Answer(tree={"a": 1}), "tree is null": Answer(tree=[None]), "tree is text": Answer(tree="x"),
    "about is a list": Answer(about=[]), "about is null": Answer(about=[None]),
    "no commit": Answer(about={"id": "a/b"}),
    "licence is a list": Answer(about={**ABOUT, "cardData": {"license": [["x"]]}}, refused=False),
    "licence obeys": Answer(about={**ABOUT, "cardData": {"license": "mit\x1b[2J" * 50}}, refused=False),
    "card is text": Answer(about={**ABOUT, "cardData": "x"}, refused=False),
    "more bytes": Answer(content=b"{}" * 5000), "fewer bytes": Answer(content=b"{"),
    "a page": Answer(content=b"<html>", headers={"Content-Type": "text/html"}),
    "to a file": Answer(status=302, headers={"Location": "file:///etc/passwd"}),
    "to itself": Answer(status=302, headers={"Location": "/a/b/resolve/" + SHA + "/config.json"}),
    "to ftp": Answer(status=302, headers={"Location": "ftp://127.0.0.1/x"}),
    "ill": Answer(status=403), "odd status": Answer(status=299), "nothing": Answer(content=b""),
    "no JSON": Answer(about=b"{"), "deep JSON": Answer(about=b"[" * 100_000),
}


@contextmanager
def hub(answer: Answer) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path, said = self.path.partition("?")[0], answer
            if "/tree/" in path:
                return self.send(200, {}, json.dumps([FILE] if said.tree is None else said.tree).encode())
            if path.startswith("/api/"):
                about = said.about if said.about is not None else ABOUT
                return self.send(200, {}, about if isinstance(about, bytes) else json.dumps(about).encode())
            self.send(said.status, {"Content-Type": "application/octet-stream", **(said.headers or {})}, said.content)

        def send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ask(answer: Answer, folder: Path, project: Path) -> subprocess.CompletedProcess[str]:
    with hub(answer) as address:
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0",
                       "PYTHONPATH": str(project)}
        return subprocess.run([sys.executable, "-m", "minigpt4", "weights", "download", "hub:a/b", "--to", "got"],
                              cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


QUICK = ("sound", "up", "escape", "more bytes")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in ANSWERS
                                            if name not in QUICK)])
def test_an_answer(name: str, tmp_path: Path, project: Path) -> None:
    (tmp_path / "work").mkdir()
    ended = ask(ANSWERS[name], tmp_path / "work", project)
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said, said
    assert (ended.returncode != 0) == ANSWERS[name].refused, said
    assert "\x1b" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert not {path.name for path in (tmp_path / "work").iterdir()} - {"got"}
